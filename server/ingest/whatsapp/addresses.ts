import type { WASocket } from '@whiskeysockets/baileys';
import {
  linkAddresses,
  type LinkedAddresses,
  type Linking,
} from '../../commands/link-addresses.ts';
import { applyParkedReceipts } from '../../commands/park-receipts.ts';
import { pairOf, readParty, type Party } from '../../whatsapp/read-values.ts';
import { LeaseLost } from '../write-in-lease.ts';
import { write, type DeviceContext } from './device-context.ts';
import { isPassing } from './is-passing.ts';

/**
 * Which LID is whose number, for one device: what was linked lately is remembered, so that each message does not ask
 * anew. What is forgotten is asked for once more, and writes nothing.
 */
export type AddressBook = {
  /** Writes it down when it is not known. In a transaction of its own: it locks people before chats. */
  link(pair: LinkedAddresses): Promise<void>;
  /** A party with both addresses, where the other one is known to Signal's store. */
  complete(party: Party): Promise<Party>;
  /** The other address of somebody. */
  otherOf(jid: string): Promise<string | undefined>;
};

/** Pairs remembered: more people than write to one device in a while. */
const REMEMBERED_MAX = 5_000;

export function createAddressBook(
  context: DeviceContext,
  socket: () => WASocket | undefined,
): AddressBook {
  const linked = new Set<string>();
  const otherOf = async (jid: string): Promise<string | undefined> => {
    const store = socket()?.signalRepository.lidMapping;
    if (!store) return undefined;
    try {
      if (jid.endsWith('@lid')) return readParty(await store.getPNForLID(jid))?.jid;
      // Of a number that is not known WhatsApp would be asked: only what is kept is looked at.
      const user = jid.slice(0, jid.indexOf('@'));
      const kept = await socket()?.authState.keys.get('lid-mapping', [user]);
      return kept?.[user] === undefined ? undefined : `${kept[user]}@lid`;
    } catch (error) {
      // The session is over: the other address comes another time.
      context.log.debug({ error }, 'the other address of somebody was not found');
      return undefined;
    }
  };
  return {
    otherOf,
    link: async ({ jid, lid }) => {
      const name = `${jid} ${lid}`;
      if (linked.has(name)) return;
      try {
        // Of somebody who is nobody yet it is news again as soon as they write.
        if ((await linkNow(context, { jid, lid })) === 'unknown') return;
      } catch (error) {
        if (error instanceof LeaseLost || context.signal.aborted || isPassing(error)) throw error;
        // What it came with is not lost for that: two contacts stay two until somebody merges them.
        context.log.warn({ error }, 'a LID could not be linked with its number');
      }
      if (linked.size >= REMEMBERED_MAX) linked.clear();
      linked.add(name);
    },
    complete: async (party) => {
      if (pairOf(party) || !party.jid.endsWith('@lid')) return party;
      return readParty(party.jid, await otherOf(party.jid)) ?? party;
    },
  };
}

/** With what was said of either of them while nobody knew. */
function linkNow(context: DeviceContext, { jid, lid }: LinkedAddresses): Promise<Linking> {
  const { accountId, deviceId } = context;
  return write(context, async (tx) => {
    const linking = await linkAddresses(tx, { accountId, jid, lid });
    if (linking === 'linked')
      await applyParkedReceipts(tx, { accountId, deviceId, jids: [jid, lid] });
    return linking;
  });
}
