import { z } from 'zod';
import { ENTITIES, findEntity } from './registry.ts';

/**
 * The feed's whole contract. WebSocket, JSON text frames, `ws://host:FEED_PORT/feed`; rules in docs/spec/feed.md.
 */
export const FEED_VERSION = 1;

/** Largest frame a client may send. */
export const CLIENT_FRAME_BYTES_MAX = 16 * 1024;
/** A socket that has not said hello after this is closed with 4401. */
export const HELLO_TIMEOUT_MS = 5_000;
export const HEARTBEAT_MS = 1_000;
export const SUBSCRIPTIONS_MAX = 64;
/** Frames a client may send on average and at once; beyond it the socket is closed with 4429. */
export const CLIENT_FRAMES_PER_SECOND = 20;
export const CLIENT_FRAMES_BURST = 150;
/** Signals beyond this are refused with `rate_limited`; the socket stays. */
export const SIGNALS_PER_SECOND = 2;
export const SIGNALS_BURST = 10;
/** Bytes waiting in one socket before it is closed with 4408. */
export const SOCKET_BACKLOG_BYTES_MAX = 4 * 1024 * 1024;

export const CLOSE = {
  protocol: 4400,
  unauthenticated: 4401,
  forbidden: 4403,
  tooSlow: 4408,
  tooMany: 4429,
  restarting: 1012,
} as const;

const subscriptionId = z.string().min(1).max(64);
const filterValue = z.union([z.string().max(200), z.number(), z.boolean(), z.null()]);

const subscribedTable = z.strictObject({
  table: z.string().max(63),
  /** Equality on the columns the entity declares as feed filters; all of them must hold. */
  where: z.record(z.string().max(63), filterValue).optional(),
});

export const clientMessage = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('hello'), version: z.number(), token: z.string().max(4096) }),
  z.strictObject({
    type: z.literal('subscribe'),
    id: subscriptionId,
    tables: z.array(subscribedTable).min(1).max(ENTITIES.length),
    since: z.string().max(64).optional(),
  }),
  z.strictObject({ type: z.literal('unsubscribe'), id: subscriptionId }),
  z.strictObject({ type: z.literal('auth'), token: z.string().max(4096) }),
  z.strictObject({
    type: z.literal('signal'),
    kind: z.enum(['typing']),
    chat_id: z.int().positive(),
  }),
  z.strictObject({ type: z.literal('ping') }),
]);

export type ClientMessage = z.infer<typeof clientMessage>;
export type SubscribedTable = z.infer<typeof subscribedTable>;

type FeedKey = Readonly<Record<string, number | string>>;

export type FeedChange =
  | { table: string; op: 'insert'; key: FeedKey; row: Record<string, unknown> }
  /** `unchanged` names columns whose value was not written again: keep what you have. */
  | {
      table: string;
      op: 'update';
      key: FeedKey;
      row: Record<string, unknown>;
      unchanged?: string[];
    }
  | { table: string; op: 'delete'; key: FeedKey }
  | { table: string; op: 'bulk' | 'truncate'; key: Record<string, never> };

export type ResyncReason =
  /** The epoch of your cursor is over: Redis or the slot lost history. */
  | 'epoch'
  /** Your cursor is older than what the account's log still holds. */
  | 'history'
  /** Your cursor is ahead of this server's history: it comes from somewhere else. */
  | 'ahead'
  /** Your role has other devices now: rows you hold may no longer be yours, and others are that you never got. */
  | 'access';

export type ServerMessage =
  | { type: 'welcome'; version: number; account_id: number; cursor: string; heartbeat_ms: number }
  | { type: 'subscribed'; id: string; cursor: string }
  | { type: 'unsubscribed'; id: string }
  | {
      type: 'commit';
      ids: string[];
      cursor: string;
      at: string;
      xid: number;
      origin?: Record<string, unknown>;
      part: number;
      last: boolean;
      changes: FeedChange[];
    }
  | { type: 'signal'; kind: string; [field: string]: unknown }
  | { type: 'resync'; id?: string; reason: ResyncReason; cursor: string }
  | { type: 'heartbeat'; cursor: string }
  | { type: 'authenticated' }
  | { type: 'pong' }
  | { type: 'error'; code: string; message: string; id?: string };

/** Why a subscription cannot be had, in words for its author; undefined when it can. */
export function whyNotSubscribable(tables: readonly SubscribedTable[]): string | undefined {
  const seen = new Set<string>();
  for (const { table, where } of tables) {
    const entity = findEntity(table);
    if (!entity || entity.scope === 'global') return `there is no table "${table}" in the feed`;
    if (seen.has(table)) return `table "${table}" is named twice; use two subscriptions`;
    seen.add(table);
    for (const column of Object.keys(where ?? {})) {
      if (!entity.feedFilters.includes(column)) {
        const offered = entity.feedFilters.join(', ') || 'none';
        return `"${table}" cannot be filtered by "${column}"; it offers: ${offered}`;
      }
    }
  }
  return undefined;
}
