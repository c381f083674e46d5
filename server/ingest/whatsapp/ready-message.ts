import type { proto } from '@whiskeysockets/baileys';
import { adoptJid } from '../../commands/adopt-jid.ts';
import type { Claimed } from '../../commands/claim-outgoing.ts';
import { linkAddresses } from '../../commands/link-addresses.ts';
import { composeMessage, readKept, type Composing } from './compose-message.ts';
import { write } from './device-context.ts';
import { findOnWhatsApp, prepareRecipient } from './relay-message.ts';

export type ReadyMessage = {
  readonly claimed: Claimed;
  /** Where it goes. */
  readonly jid: string;
  readonly message: proto.IMessage;
};

/**
 * All that a claimed message needs to leave. Who it goes to is asked for first: a file is not uploaded for nobody.
 * @throws SendRefusal, SendFault, ClarinError, LeaseLost, Boom.
 */
export async function makeReady(composing: Composing, claimed: Claimed): Promise<ReadyMessage> {
  const jid = claimed.isNewChat ? await findRecipient(composing, claimed) : claimed.row.jid;
  await prepareRecipient(composing.linked, jid);
  const row = { ...claimed.row, jid };
  const message = (await readKept(composing, claimed)) ?? (await composeMessage(composing, row));
  return { claimed, jid, message };
}

async function findRecipient({ context, linked }: Composing, { row }: Claimed): Promise<string> {
  const jid = await findOnWhatsApp(linked, row.jid);
  if (jid === row.jid) return jid;
  const { accountId, deviceId } = context;
  await write(context, (tx) => adoptJid(tx, { accountId, deviceId, chatId: row.chatId, jid }));
  return jid;
}

/**
 * To send to a number is to be told its LID: who answers may do so by that alone. Without it the answer would be a
 * conversation with somebody unknown until it is learned elsewhere; so it is no fault when it cannot be written now.
 */
export async function learnLid({ context, linked }: Composing, jid: string): Promise<void> {
  if (!jid.endsWith('@s.whatsapp.net')) return;
  try {
    const lid = await linked.socket.signalRepository.lidMapping.getLIDForPN(jid);
    if (!lid) return;
    const { accountId } = context;
    await write(context, (tx) => linkAddresses(tx, { accountId, jid, lid }));
  } catch (error) {
    if (!context.signal.aborted) context.log.warn({ error }, 'the LID of a number was not learned');
  }
}
