import type { Queries } from '../../../platform/postgres.ts';
import { keepWhatsappMessage } from '../../commands/keep-whatsapp-message.ts';
import { queueDownloads } from '../../commands/queue-download.ts';
import {
  openPastChat,
  receiveHistory,
  type OpenedPastChat,
  type PastRow,
} from '../../commands/receive-history.ts';
import type { Receiving } from '../../commands/read-receiving.ts';
import { recordPollVote } from '../../commands/record-poll-vote.ts';
import type { History, PastChat, PastMessage } from '../../whatsapp/map-history.ts';
import { encodeFetchable } from './apply-message.ts';
import { LeaseLost } from '../write-in-lease.ts';
import { write, type DeviceContext } from './device-context.ts';
import { MESSAGES } from './inbox.ts';
import { isPassing } from './is-passing.ts';
import type { Turns } from './turns.ts';

type Work = {
  readonly history: History;
  readonly receiving: Receiving;
  readonly turns: Turns;
  readonly signal: AbortSignal;
};

type Placed = { readonly chat: OpenedPastChat; readonly past: PastMessage };

/** Messages of one statement. */
const BATCH = 500;
/** WhatsApp keeps files for two to three weeks: an older one is not asked for. */
const FILE_DAYS_MAX = 14;
const POLL_DAYS = 180;
const DAY_MS = 86_400_000;

/** Messages of before, chat by chat and in batches, each in its turn. Gives how many were not there yet. */
export async function writePast(
  context: DeviceContext,
  { history, receiving, turns, signal }: Work,
): Promise<number> {
  let count = 0;
  let waiting: Placed[] = [];
  const flush = async (): Promise<void> => {
    const batch = waiting.splice(0, BATCH);
    if (batch.length === 0) return;
    count += await writeReadable(context, turns, batch);
  };
  for (const past of history.chats) {
    if (past.messages.length === 0 || (past.isGroup && !receiving.groups)) continue;
    signal.throwIfAborted();
    const chat = await turns(MESSAGES, () => openChat(context, past));
    waiting = [...waiting, ...past.messages.map((message) => ({ chat, past: message }))];
    while (waiting.length >= BATCH) {
      signal.throwIfAborted();
      await flush();
    }
  }
  await flush();
  return count;
}

/** A batch, and when something in it is refused, what of it is not. */
async function writeReadable(
  context: DeviceContext,
  turns: Turns,
  batch: readonly Placed[],
): Promise<number> {
  try {
    return await turns(MESSAGES, () => write(context, (tx) => writeBatch(tx, context, batch)));
  } catch (error) {
    if (error instanceof LeaseLost || context.signal.aborted || isPassing(error)) throw error;
    if (batch.length === 1) {
      context.log.warn({ error }, 'a message of before could not be written');
      return 0;
    }
  }
  const half = Math.ceil(batch.length / 2);
  const first = await writeReadable(context, turns, batch.slice(0, half));
  return first + (await writeReadable(context, turns, batch.slice(half)));
}

function openChat(context: DeviceContext, past: PastChat): Promise<OpenedPastChat> {
  const { accountId, deviceId } = context;
  const { party, name, isArchived, isPinned } = past;
  const options = { accountId, deviceId, ...party, name, isArchived, isPinned };
  return write(context, (tx) => openPastChat(tx, options));
}

async function writeBatch(
  tx: Queries,
  context: DeviceContext,
  batch: readonly Placed[],
): Promise<number> {
  const { accountId, deviceId, box, clock } = context;
  const since = clock.now() - FILE_DAYS_MAX * DAY_MS;
  const rows = batch.map(({ chat, past }) => rowOf(chat, past, since));
  const { count, files } = await receiveHistory(tx, { accountId, deviceId, rows });
  const byName = new Map(batch.map((one) => [nameOf(one.chat.chatId, one.past), one.past]));
  const downloads = files.flatMap(({ chatId, messageId, mediaId }) => {
    const past = byName.get(`${chatId} ${messageId}`);
    if (!past?.said.fetchable || Date.parse(past.said.at) < since) return [];
    return [{ mediaId, info: encodeFetchable(past.info, past.said.fetchable) }];
  });
  await queueDownloads(tx, box, { accountId, deviceId, downloads });
  for (const { chat, past } of batch) await writePoll(tx, context, { chat, past });
  return count;
}

function rowOf(
  chat: OpenedPastChat,
  { envelope, said, status }: PastMessage,
  since: number,
): PastRow {
  const { messageId, isFromMe, from, fromName } = envelope;
  const { content, quoted, isForwarded, at } = said;
  return {
    chat,
    messageId,
    sentAt: at,
    isFromMe,
    from,
    fromName,
    content,
    quoted,
    isForwarded,
    status,
    isFetchable: said.fetchable !== undefined && Date.parse(at) >= since,
  };
}

/** What opens the votes that are still to come, and those that have come. */
async function writePoll(
  tx: Queries,
  { accountId, deviceId, box }: DeviceContext,
  { chat, past: { envelope, said, votes } }: Placed,
): Promise<void> {
  const { messageId, isFromMe } = envelope;
  if (said.poll) {
    const poll = { accountId, deviceId, messageId, isFromMe, purpose: 'poll' as const };
    await keepWhatsappMessage(tx, box, { ...poll, message: said.poll, daysMax: POLL_DAYS });
  }
  for (const { voter, options, votedAt } of votes) {
    const { chatId, jid } = chat;
    const name = voter === undefined || envelope.isGroup ? voter : jid;
    await recordPollVote(tx, {
      accountId,
      chatId,
      pollMessageId: messageId,
      voter: name,
      options,
      votedAt,
    });
  }
}

function nameOf(chatId: number, { envelope }: PastMessage): string {
  return `${chatId} ${envelope.messageId}`;
}
