import { z } from 'zod';
import type { FilterValues } from '../domain/change.ts';

/**
 * The contents of our logical messages, as writers and triggers announce them in the WAL. Anybody who may write to the
 * database may emit one, so each is read with suspicion: what does not fit is undefined, is counted, and stops nothing.
 */
const ORIGIN_CHARACTERS_MAX = 2_048;
const SIGNAL_CHARACTERS_MAX = 4_096;

export type Heartbeat = {
  /** Random, one per attempt of a leader: nobody else's vouches for anything. */
  readonly token: string;
  readonly term: number;
  readonly sequence: number;
  /** Redis' clock when it was emitted: the lease is reckoned from it. */
  readonly redisMs: number;
  /** The emitter's own monotonic clock, for the round trip. */
  readonly sentMs: number;
};

/** A row's filter columns before the change that follows. */
export type WasMessage = {
  readonly table: string;
  readonly accountId: number;
  readonly id: string;
  readonly values: FilterValues;
};

export type Signal = { readonly accountId: number; readonly json: string };

const heartbeat = z.object({
  token: z.string().max(64),
  term: z.int().nonnegative(),
  sequence: z.int().nonnegative(),
  redis_ms: z.number(),
  sent_ms: z.number(),
});

export function formatHeartbeat({ token, term, sequence, redisMs, sentMs }: Heartbeat): string {
  return JSON.stringify({ token, term, sequence, redis_ms: redisMs, sent_ms: sentMs });
}

export function parseHeartbeat(text: string): Heartbeat | undefined {
  const parsed = heartbeat.safeParse(parseObject(text));
  if (!parsed.success) return undefined;
  const { token, term, sequence, redis_ms: redisMs, sent_ms: sentMs } = parsed.data;
  return { token, term, sequence, redisMs, sentMs };
}

/** The text itself, when it is a JSON object of bounded size: it goes to browsers as it is. */
export function parseOrigin(text: string): string | undefined {
  if (text.length > ORIGIN_CHARACTERS_MAX) return undefined;
  return parseObject(text) === undefined ? undefined : text;
}

export function parseSignal(text: string): Signal | undefined {
  if (text.length > SIGNAL_CHARACTERS_MAX) return undefined;
  const value = parseObject(text);
  const accountId = value?.['account_id'];
  if (!Number.isSafeInteger(accountId) || typeof value?.['kind'] !== 'string') return undefined;
  return { accountId: accountId as number, json: text };
}

/** Parsed by hand: an update of a million rows brings a million of them. */
export function parseWas(text: string): WasMessage | undefined {
  const value = parseObject(text);
  if (!value) return undefined;
  const { t: table, a: accountId, id, v: values } = value;
  if (typeof table !== 'string' || !Number.isSafeInteger(accountId) || !Number.isSafeInteger(id))
    return undefined;
  if (typeof values !== 'object' || values === null) return undefined;
  const isText = Object.values(values).every((one) => one === null || typeof one === 'string');
  if (!isText) return undefined;
  return { table, accountId: accountId as number, id: String(id), values: values as FilterValues };
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
