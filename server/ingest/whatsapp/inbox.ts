import { proto } from '@whiskeysockets/baileys';
import type { Running } from '../../../platform/lifecycle.ts';
import type { Receiving } from '../../commands/read-receiving.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { waitingFor } from '../../commands/waiting-votes.ts';
import {
  deleteInboxRow,
  failInboxRow,
  HISTORY_WAITS,
  readInbox,
  type InboxRow,
} from '../../commands/whatsapp-inbox.ts';
import { decodeStanza, type Decoded } from '../../whatsapp/decode-stanza.ts';
import { mapMessage, readEnvelope, type Envelope, type Me } from '../../whatsapp/map-message.ts';
import { pairOf } from '../../whatsapp/read-values.ts';
import type { AddressBook } from './addresses.ts';
import { applyMessage } from './apply-message.ts';
import { applyVote } from './apply-vote.ts';
import { write, type DeviceContext } from './device-context.ts';
import { countStanza, judgeFailed, VoteWaits } from './failed-stanza.ts';
import { LOOK_MS, startRingLoop } from './ring-loop.ts';
import { linkPairs } from './people.ts';
import type { Turns } from './turns.ts';

type Means = {
  readonly context: DeviceContext;
  readonly me: () => Me | undefined;
  readonly addresses: AddressBook;
  /** One thing at a time is done to a device's messages. */
  readonly turns: Turns;
  /** A part of history: it stays in the inbox until whoever takes it has read it. */
  readonly onHistory: (row: InboxRow, notification: proto.Message.IHistorySyncNotification) => void;
  /** A message in a group, by its JID. */
  readonly onGroup: (jid: string) => void;
};

/** After something that will pass: a database that is away. */
const PAUSE = { minMs: 250, maxMs: 15_000 };
/** A vote waits for its poll: as long as a phone that was off may hold it back. */
const VOTE_DAYS_MAX = 7;
/** History stays out of the way of what comes now for so long at a time. */
const HISTORY_ASIDE_MS = 30_000;
const DAY_MS = 86_400_000;
/** Whose turn it is to do something to a device's messages. */
export const MESSAGES = 'messages';

export type Inbox = Running & {
  ring(): void;
  /** Resolves when nothing is due that was there when this was called, or when it has been stopped. */
  drained(): Promise<void>;
};

/**
 * Makes messages of what was decrypted, in its order: each in one transaction with the end of its row in the inbox. One
 * that fails for what is in it is tried again later and keeps nobody waiting; after some tries it is given up and kept,
 * and its place is shown. When the database is away everything waits.
 */
export function startInbox(means: Means): Inbox {
  const { context } = means;
  const strikes = new Map<number, number>();
  let looks = 0;
  let onQuiet: ((looked: number) => void)[] = [];
  const loop = startRingLoop({
    context,
    says: 'the inbox waits',
    fault: PAUSE,
    round: async (signal) => {
      looks++;
      const waitMs = await takePage(means, strikes, signal);
      if (waitMs > 0) for (const hear of onQuiet) hear(looks);
      return waitMs;
    },
  });
  return {
    ...loop,
    drained: async () => {
      const from = looks;
      const quiet = new Promise<void>((resolve) => {
        onQuiet = [...onQuiet, (looked) => (looked > from ? resolve() : undefined)];
      });
      loop.ring();
      await Promise.race([quiet, loop.done]);
      onQuiet = [];
    },
  };
}

/** Gives how long nothing is due. @throws what will pass: the rows from there on are still there. */
async function takePage(
  means: Means,
  strikes: Map<number, number>,
  signal: AbortSignal,
): Promise<number> {
  const { context } = means;
  const me = means.me();
  if (!me) return LOOK_MS;
  const page = await readInbox(context.database, context.box, context);
  const { rows, hasMore, receiving, dueInMs } = page;
  if (rows.length === 0) return dueInMs ?? LOOK_MS;
  let mayBeDue = hasMore;
  for (const row of rows) {
    signal.throwIfAborted();
    await means.turns(MESSAGES, async () => {
      try {
        const mayWake = await takeRow(means, row, { me, receiving });
        mayBeDue ||= mayWake;
        strikes.delete(row.id);
      } catch (error) {
        mayBeDue = true;
        await judgeFailed(means.context, { row, me, error, strikes });
      }
    });
  }
  // What comes meanwhile rings.
  return mayBeDue ? 0 : LOOK_MS;
}

type World = { readonly me: Me; readonly receiving: Receiving };

/** True: votes that were put by may be due because of it. */
async function takeRow(means: Means, row: InboxRow, { me, receiving }: World): Promise<boolean> {
  const { context, addresses } = means;
  const nowMs = context.clock.now();
  const decoded = decodeStanza(row, { me, nowMs });
  const { mapped } = decoded;
  if (mapped.does === 'history') {
    const aside = { error: HISTORY_WAITS, retryInMs: HISTORY_ASIDE_MS, isWaiting: true };
    await write(context, (tx) => failInboxRow(tx, context, row.id, aside));
    means.onHistory(row, mapped.notification);
    return false;
  }
  if (mapped.does === 'link') await linkPairs(context, addresses, mapped.pairs);
  const envelope = await completed(decoded.envelope, addresses);
  const isWanted =
    receiving.messages &&
    (envelope?.isGroup !== true || receiving.groups) &&
    envelope !== undefined;
  if (!isWanted || mapped.does === 'nothing' || mapped.does === 'link') {
    await write(context, (tx) => deleteInboxRow(tx, context, row.id));
    countStanza(context, isWanted ? 'nothing' : 'unwanted');
    return false;
  }
  await linkAll(envelope, addresses);
  const work = workOf(means, { row, me, envelope, decoded });
  const isTaken = await write(context, async (tx) => {
    const deleted = await deleteInboxRow(tx, context, row.id);
    if (deleted === 'gone') return false;
    await work(tx, deleted === 'overtaken');
    return true;
  });
  if (isTaken) countStanza(context, 'taken');
  if (envelope.isGroup) means.onGroup(envelope.chat.jid);
  return mapped.does === 'say' && mapped.poll !== undefined;
}

type Taking = {
  readonly row: InboxRow;
  readonly me: Me;
  readonly envelope: Envelope;
  readonly decoded: Decoded;
};

type Work = (tx: Queries, isOvertaken: boolean) => Promise<void>;

function workOf(means: Means, taking: Taking): Work {
  const { context } = means;
  const { row, envelope, decoded } = taking;
  const { mapped, info } = decoded;
  if (mapped.does === 'vote') return (tx) => vote(tx, means, taking);
  if (mapped.does === 'resend') {
    const nowMs = context.clock.now();
    return async (tx) => {
      for (const bytes of mapped.infos) await resend(tx, context, bytes, nowMs);
    };
  }
  if (mapped.does !== 'say') return () => Promise.resolve();
  return async (tx, isOvertaken) => {
    await applyMessage(tx, context, { envelope, said: mapped, info, raw: row.plain, isOvertaken });
  };
}

async function vote(
  tx: Queries,
  means: Means,
  { row, me, envelope, decoded }: Taking,
): Promise<void> {
  const { context, addresses } = means;
  const { mapped } = decoded;
  if (mapped.does !== 'vote') return;
  const otherOf = (jid: string): Promise<string | undefined> => addresses.otherOf(jid);
  const end = await applyVote(tx, context, { envelope, vote: mapped.vote, me, otherOf });
  if (end === 'recorded') return;
  const isOld = context.clock.now() - row.createdAtMs > VOTE_DAYS_MAX * DAY_MS;
  if (isOld) {
    context.log.info({ end }, 'a vote was given up');
    return;
  }
  throw new VoteWaits(end === 'absent' ? waitingFor(mapped.vote.pollId) : 'the vote does not open');
}

/** What the phone found again: its place is there since it could not be read. */
async function resend(
  tx: Queries,
  context: DeviceContext,
  bytes: Uint8Array,
  nowMs: number,
): Promise<void> {
  let info: proto.IWebMessageInfo;
  try {
    info = proto.WebMessageInfo.decode(bytes);
  } catch {
    return;
  }
  const envelope = readEnvelope(info, nowMs);
  const mapped = envelope && info.message && mapMessage(info.message, { envelope, nowMs });
  if (envelope && mapped?.does === 'say')
    await applyMessage(tx, context, { envelope, said: mapped, info, isResent: true });
}

async function completed(
  envelope: Envelope | undefined,
  addresses: AddressBook,
): Promise<Envelope | undefined> {
  if (!envelope) return undefined;
  return { ...envelope, chat: await addresses.complete(envelope.chat) };
}

async function linkAll({ chat, writer }: Envelope, addresses: AddressBook): Promise<void> {
  for (const pair of [pairOf(chat), pairOf(writer)]) if (pair) await addresses.link(pair);
}
