import type { Contact, WASocket } from '@whiskeysockets/baileys';
import type { Running } from '../../../platform/lifecycle.ts';
import { isNamelessGroup, nameGroup } from '../../commands/name-group.ts';
import { noteContactNames } from '../../commands/note-contact-names.ts';
import { unlinkedAddresses, type LinkedAddresses } from '../../commands/link-addresses.ts';
import { pairOf, readParty, readText } from '../../whatsapp/read-values.ts';
import type { AddressBook } from './addresses.ts';
import { createCollector } from './collector.ts';
import { write, type DeviceContext } from './device-context.ts';

type Means = {
  readonly context: DeviceContext;
  readonly addresses: AddressBook;
  /** The socket that is logged in. */
  readonly socket: () => WASocket | undefined;
};

export type People = Running & {
  watch(socket: WASocket): void;
  /** What WhatsApp says of people, whichever way it came. */
  note(contacts: readonly Partial<Contact>[]): void;
  /** A group has written: its subject is asked for when nobody knows it. */
  lookAt(groupJid: string): void;
};

type Group = { readonly jid: string; readonly subject: string | undefined };

const DELAY_MS = 200;
/** An address book comes as a whole. */
const BATCH = 500;
const WAITING_MAX = 50_000;
const GROUPS_MAX = 1_000;
/** Contacts remembered as they were said last. */
const SAID_MAX = 2_000;

/**
 * Names and addresses of people and groups, as the phone's address book and WhatsApp have them. Whoever is nobody's
 * contact stays so.
 */
export function startPeople({ context, addresses, socket }: Means): People {
  const common = { context, delayMs: DELAY_MS, max: WAITING_MAX, batch: BATCH };
  const contacts = createCollector<Partial<Contact>>({
    ...common,
    what: 'contacts',
    write: (given) => writeContacts(context, addresses, given),
  });
  const pairs = createCollector<LinkedAddresses>({
    ...common,
    what: 'addresses',
    write: (given) => linkPairs(context, addresses, given),
  });
  const groups = createCollector<Group>({
    ...common,
    what: 'groups',
    batch: 1,
    write: ([group]) => (group ? writeGroup(context, socket, group) : Promise.resolve()),
  });
  const seenGroups = new Set<string>();
  const said = new Set<string>();
  /** WhatsApp says with every message what its writer calls themselves: what was heard lately is not news. */
  const hearContacts = (given: readonly Partial<Contact>[]): void =>
    contacts.add(
      given.filter((contact) => {
        const text = JSON.stringify(contact);
        if (said.has(text)) return false;
        if (said.size >= SAID_MAX) said.clear();
        said.add(text);
        return true;
      }),
    );
  const hearGroups = (given: readonly { id?: string; subject?: string }[]): void =>
    groups.add(
      given.flatMap(({ id, subject }) =>
        id !== undefined && subject !== undefined ? [{ jid: id, subject }] : [],
      ),
    );
  return {
    stop: async () => {
      await Promise.all([contacts.stop(), pairs.stop(), groups.stop()]);
    },
    note: (given) => contacts.add(given),
    lookAt: (jid) => {
      if (seenGroups.has(jid)) return;
      if (seenGroups.size >= GROUPS_MAX) seenGroups.clear();
      seenGroups.add(jid);
      groups.add([{ jid, subject: undefined }]);
    },
    watch: ({ ev }) => {
      ev.on('contacts.upsert', hearContacts);
      ev.on('contacts.update', hearContacts);
      ev.on('groups.upsert', hearGroups);
      ev.on('groups.update', hearGroups);
      ev.on('lid-mapping.update', ({ lid, pn }) =>
        pairs.add([pairOf(readParty(pn, lid))].flatMap((pair) => pair ?? [])),
      );
    },
  };
}

async function writeContacts(
  context: DeviceContext,
  addresses: AddressBook,
  given: readonly Partial<Contact>[],
): Promise<void> {
  const { accountId, deviceId } = context;
  const known = given.flatMap((contact) => {
    const party = readParty(contact.id, contact.phoneNumber ?? contact.lid);
    return party ? [{ contact, party }] : [];
  });
  await linkPairs(
    context,
    addresses,
    known.flatMap(({ party }) => pairOf(party) ?? []),
  );
  // The last that was said of somebody.
  const contacts = new Map(
    known.map(({ contact: { name, notify, verifiedName }, party }) => {
      const pushName = readText(verifiedName) ?? readText(notify);
      return [`${party.jid} ${name ?? ''}`, { jid: party.jid, bookName: readText(name), pushName }];
    }),
  );
  await write(context, (tx) =>
    noteContactNames(tx, { accountId, deviceId, contacts: [...contacts.values()] }),
  );
}

/** Each in a transaction of its own, and only those of which there is something to write. */
export async function linkPairs(
  context: DeviceContext,
  addresses: AddressBook,
  pairs: readonly LinkedAddresses[],
): Promise<void> {
  if (pairs.length === 0) return;
  for (const pair of await unlinkedAddresses(context.database, context.accountId, pairs))
    await addresses.link(pair);
}

async function writeGroup(
  context: DeviceContext,
  socket: Means['socket'],
  { jid, subject: known }: Group,
): Promise<void> {
  const { accountId, deviceId } = context;
  const subject = known ?? (await askForSubject(context, socket, jid));
  if (subject === undefined) return;
  await write(context, (tx) => nameGroup(tx, { accountId, deviceId, jid, subject }));
}

async function askForSubject(
  context: DeviceContext,
  socket: Means['socket'],
  jid: string,
): Promise<string | undefined> {
  const { accountId, deviceId } = context;
  if (!(await isNamelessGroup(context.database, { accountId, deviceId, jid }))) return undefined;
  try {
    return (await socket()?.groupMetadata(jid))?.subject;
  } catch (error) {
    // Not a member any more, or the socket is over: the next message of the group asks again, in the next process.
    context.log.debug({ error }, 'a group did not say what it is called');
    return undefined;
  }
}
