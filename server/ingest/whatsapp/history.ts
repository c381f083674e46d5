import { ALL_WA_PATCH_NAMES, proto, type WASocket } from '@whiskeysockets/baileys';
import { backoffMs } from '../../../platform/backoff.ts';
import type { Running } from '../../../platform/lifecycle.ts';
import { readReceiving } from '../../commands/read-receiving.ts';
import { deleteInboxRow, failInboxRow, type InboxRow } from '../../commands/whatsapp-inbox.ts';
import { signalHistory } from '../../commands/whatsapp-signal.ts';
import { fetchHistory, HistoryTooLarge } from '../../whatsapp/fetch-history.ts';
import { FileGone } from '../../whatsapp/fetch-file.ts';
import { mapHistory, type History } from '../../whatsapp/map-history.ts';
import { createBell } from '../bell.ts';
import { LeaseLost } from '../write-in-lease.ts';
import type { AddressBook } from './addresses.ts';
import { write, type DeviceContext } from './device-context.ts';
import { isPassing } from './is-passing.ts';
import { linkPairs, type People } from './people.ts';
import { keepPrivacyTokens } from './privacy-tokens.ts';
import type { Turns } from './turns.ts';
import { writePast } from './write-past.ts';

type Notification = proto.Message.IHistorySyncNotification;

type Means = {
  readonly context: DeviceContext;
  readonly addresses: AddressBook;
  readonly people: Pick<People, 'note'>;
  readonly turns: Turns;
  /** The socket that is logged in: keys that come with history are kept by it. */
  readonly socket: () => WASocket | undefined;
};

export type HistoryReader = Running & {
  /** A part to read, by its row in the inbox, which goes when it is read. The same row again is read once. */
  read(row: InboxRow, notification: Notification): void;
  /** A socket is logged in (again). */
  ring(): void;
};

/** A part that cannot be had: tried again so often, and no longer than WhatsApp keeps it. */
const RETRY = { minMs: 5_000, maxMs: 3_600_000 };
const DAYS_MAX = 14;
const DAY_MS = 86_400_000;
const LOOK_EVERY_MS = 30_000;

/**
 * What was said before the device was linked, one part after the other, behind everything that is said now: between two
 * of its steps messages are written. Which number has which LID comes first, so that nobody has two chats. Nothing of it
 * is unread or anybody's first message. A part is read again from its beginning after a crash; what is there already is
 * not written twice.
 */
export function startHistory(means: Means): HistoryReader {
  const { context } = means;
  const stopping = new AbortController();
  const signal = AbortSignal.any([context.signal, stopping.signal]);
  const bell = createBell(context.clock);
  const waiting = new Map<number, { row: InboxRow; notification: Notification }>();
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      try {
        const [next] = waiting.values();
        const socket = means.socket();
        if (!next || !socket) {
          await bell.wait(LOOK_EVERY_MS, signal);
          continue;
        }
        await readPart(means, { ...next, socket, signal }).catch(async (error: unknown) => {
          if (signal.aborted || error instanceof LeaseLost || isPassing(error)) throw error;
          // Of a socket that is over too: it is read again, from the beginning.
          await postpone(context, next.row, error);
        });
        waiting.delete(next.row.id);
      } catch (error) {
        if (signal.aborted || error instanceof LeaseLost) return;
        context.log.warn({ error }, 'history waits');
        // Its row comes again by the inbox, later.
        waiting.clear();
        await context.clock.sleep(RETRY.minMs, signal).catch(() => undefined);
      }
    }
  };
  const done = run();
  return {
    read: (row, notification) => {
      if (!waiting.has(row.id)) waiting.set(row.id, { row, notification });
      bell.ring();
    },
    ring: () => bell.ring(),
    stop: async () => {
      stopping.abort();
      await done;
    },
  };
}

type Part = {
  readonly row: InboxRow;
  readonly notification: Notification;
  readonly socket: WASocket;
  readonly signal: AbortSignal;
};

/** @throws what will pass. */
async function readPart(means: Means, part: Part): Promise<void> {
  const { context } = means;
  const { row, notification, socket, signal } = part;
  let history: proto.IHistorySync;
  try {
    history = await fetchHistory(notification, signal);
  } catch (error) {
    signal.throwIfAborted();
    await postpone(context, row, error);
    return;
  }
  signal.throwIfAborted();
  const mapped = mapHistory(history, context.clock.now());
  await keepKeys(socket, mapped);
  await linkPairs(context, means.addresses, mapped.pairs);
  const receiving = await readReceiving(context.database, context);
  const count = receiving.messages
    ? await writePast(context, { history: mapped, receiving, turns: means.turns, signal })
    : 0;
  means.people.note(
    mapped.people.map(({ jid, name, pushName }) => ({
      id: jid,
      ...(name !== undefined && { name }),
      ...(pushName !== undefined && { notify: pushName }),
    })),
  );
  const { accountId, deviceId } = context;
  const progress = Math.min(Math.max(Math.trunc(notification.progress ?? 0), 0), 100);
  await write(context, async (tx) => {
    await deleteInboxRow(tx, context, row.id);
    await signalHistory(tx, { accountId, deviceId, progress });
  });
  context.metrics.whatsappHistory.inc(count);
  context.log.info({ count, chats: mapped.chats.length, progress }, 'a part of history was read');
  if (notification.syncType === proto.HistorySync.HistorySyncType.INITIAL_BOOTSTRAP)
    await readAppState(context, socket);
}

/** It cannot be had now. After days it never will, nor when WhatsApp has it no more, or when it is too much. */
async function postpone(context: DeviceContext, row: InboxRow, error: unknown): Promise<void> {
  const says = error instanceof Error ? error.message : String(error);
  const isOld = context.clock.now() - row.createdAtMs > DAYS_MAX * DAY_MS;
  const isOver = isOld || error instanceof FileGone || error instanceof HistoryTooLarge;
  const retryInMs = isOver ? undefined : backoffMs(row.attempts, RETRY);
  context.log.warn({ error, isOver }, 'a part of history could not be had');
  await write(context, (tx) => failInboxRow(tx, context, row.id, { error: says, retryInMs }));
}

/** For Signal's sessions and for what WhatsApp asks for at sending. Known ones are not written again. */
async function keepKeys(socket: WASocket, { pairs, tokens }: History): Promise<void> {
  const mappings = pairs.map(({ jid, lid }) => ({ pn: jid, lid }));
  await socket.signalRepository.lidMapping.storeLIDPNMappings(mappings);
  await keepPrivacyTokens(socket, tokens);
}

/**
 * The address book and the like, once in a device's life: Baileys reads them with history that it reads itself. What
 * cannot be had is asked for at the next pairing only, as it is with Baileys.
 */
async function readAppState(context: DeviceContext, socket: WASocket): Promise<void> {
  const { accountSyncCounter } = socket.authState.creds;
  if (accountSyncCounter > 0) return;
  try {
    await socket.resyncAppState(ALL_WA_PATCH_NAMES, true);
    socket.ev.emit('creds.update', { accountSyncCounter: accountSyncCounter + 1 });
  } catch (error) {
    if (isPassing(error)) throw error;
    context.log.warn({ error }, 'the address book could not be read');
  }
}
