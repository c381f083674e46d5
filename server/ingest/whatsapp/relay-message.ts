import { areJidsSameUser, type proto } from '@whiskeysockets/baileys';
import { parseJid, USER_SERVER } from '../../../domain/jid.ts';
import { phoneLookups } from '../../../domain/phone.ts';
import { envelopeOf } from '../../whatsapp/build-content.ts';
import { SEND_REFUSALS, SendFault, SendRefusal } from '../../whatsapp/judge-send.ts';
import type { Linked } from './device-context.ts';

type Outgoing = {
  readonly jid: string;
  readonly stanzaId: string;
  readonly message: proto.IMessage;
};

/**
 * Asks for the devices of a recipient, and for the keys of those that were never written to. Baileys would ask by itself
 * when it sends, one message at a time: then who does not answer keeps everybody waiting, and to whom no device is known
 * for want of an answer, the message is sent all the same, to nobody. Of a group Baileys asks.
 * @throws SendFault, Boom.
 */
export async function prepareRecipient({ socket, me }: Linked, jid: string): Promise<void> {
  if (jid.endsWith('@g.us')) return;
  const own = jid.endsWith('@lid') ? (me.lid ?? me.jid) : me.jid;
  const devices = await socket.getUSyncDevices([own, jid], true, false);
  // To ourselves there are only our own.
  if (areJidsSameUser(jid, own)) return;
  const theirs = devices.map((device) => device.jid).filter((each) => !isOurs(me, each));
  if (theirs.length === 0) throw new SendFault(SEND_REFUSALS.no_devices);
  await socket.assertSessions(theirs, false);
}

function isOurs({ jid, lid }: Linked['me'], device: string): boolean {
  return areJidsSameUser(device, jid) || (lid !== undefined && areJidsSameUser(device, lid));
}

/**
 * Encrypts a message for every device of its recipient and our own others, and hands it to the socket. When it resolves
 * the frame was written; whether WhatsApp has it, its answer says.
 *
 * Not by `sendMessage`: that one makes the message itself, with a preview of any address in its text, which is to ask
 * whatever is there; and makes a poll's secret anew each time.
 * @throws Boom.
 */
export async function relayMessage(
  { socket }: Linked,
  { jid, stanzaId, message }: Outgoing,
): Promise<void> {
  const { additionalAttributes, additionalNodes } = envelopeOf(message);
  await socket.relayMessage(jid, message, {
    messageId: stanzaId,
    additionalAttributes: { ...additionalAttributes },
    additionalNodes,
  });
}

/**
 * The address under which WhatsApp knows a number that nobody here has written with: numbers of some countries have two
 * spellings, and one of them is right. What is no number, is it already.
 * @throws SendRefusal when it knows none of them; SendFault when it does not answer.
 */
export async function findOnWhatsApp({ socket }: Linked, jid: string): Promise<string> {
  const parsed = parseJid(jid);
  if (parsed?.kind !== 'user') return jid;
  const users = [...new Set([parsed.user, ...phoneLookups(parsed.user)])];
  const answers = await socket.onWhatsApp(...users.map((user) => `${user}@${USER_SERVER}`));
  // No answer in time.
  if (!answers) throw new SendFault(SEND_REFUSALS.not_looked_up);
  const known = answers
    .filter(({ exists }) => exists)
    .map((answer) => parseJid(answer.jid))
    // Some day it may answer with an address that is no number's: then ours is right.
    .map((found) => (found?.kind === 'user' ? found.address : parsed.address));
  const address = known.find((one) => one === parsed.address) ?? known[0];
  if (address === undefined) throw new SendRefusal(SEND_REFUSALS.not_on_whatsapp);
  return address;
}
