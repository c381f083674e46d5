import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { Redis } from 'ioredis';
import { controlKeys } from '../../../domain/cache-key.ts';
import type { Cursor } from '../../../domain/cursor.ts';
import { lsnFromHex } from '../../../domain/lsn.ts';
import { CacheReader, type CachedBody } from '../../../platform/cache/reader.ts';
import { FILL } from '../../../platform/cache/scripts.ts';
import { createLog } from '../../../platform/log.ts';
import { createMetrics } from '../../../platform/metrics.ts';
import { createDatabase } from '../../../platform/postgres.ts';
import { createRedis } from '../../../platform/redis.ts';
import { loadEntry } from '../../../server/api/rest/loaders.ts';
import { withoutGuard } from '../../proof/without-guard.ts';
import { VersionBoard } from './reads-board.ts';
import {
  MARKER,
  READS_DONE,
  READS_END,
  type ReadCounts,
  type ReadEntry,
  type ReadsOrder,
  type ReadsReport,
} from './reads-orders.ts';

/** Reads under way at once: their commands go to Redis together, a round trip for many. */
const AT_ONCE = 192;
const CONNECTIONS = 6;
/** So many of the fills come late: what they bring has been invalidated meanwhile, or not. */
const LATE_SHARE = 0.08;
const LATE_MS = 60;
const VERY_LATE_SHARE = 0.004;
const VERY_LATE_MS = 2_500;
/** This many of the reads are of this many of the entries. */
const HOT_SHARE = 0.4;
const HOT_ENTRIES = 0.05;
const REPORT_EVERY_MS = 500;

const order = workerData as ReadsOrder;
const board = new VersionBoard(order.board);
const progress = new Int32Array(order.progress);
const log = createLog({ component: 'api', level: 'silent' });
const metrics = createMetrics('reads');
const space = { prefix: 'clarin' };
const database = createDatabase({
  url: order.databaseUrl,
  applicationName: 'soak reads',
  max: CONNECTIONS,
  statementTimeoutMs: 30_000,
  log,
});
const counts: ReadCounts = {
  hits: 0,
  misses: 0,
  bypasses: 0,
  markers: 0,
  exact: 0,
  slowFills: 0,
};
/** Where each epoch began: a watermark that is its base belongs to no commit of the account. */
const bases = new Map<string, bigint>();
const asked = new Set<string>();

const report = (message: ReadsReport): void => parentPort?.postMessage(message);

function connectRedis(): { redis: Redis; forReader: Redis } {
  const redis = createRedis({ url: order.redisUrl, name: 'soak-reads', log });
  if (!(redis instanceof Redis)) throw new Error('one Redis, no Cluster');
  const fences = /if (whole|one) and (whole|one) > ARGV\[3\] then return 'fenced' end/g;
  const forReader = order.without === 'tombstone' ? withoutGuard(redis, FILL, fences) : redis;
  return { redis, forReader };
}

const { redis, forReader } = connectRedis();
await redis.connect();
const reader = new CacheReader({ redis: forReader, space, log, metrics });

async function learnBase(epoch: string): Promise<void> {
  if (asked.has(epoch)) return;
  asked.add(epoch);
  const [known, base] = await redis.hmget(controlKeys(space).control, 'epoch', 'base');
  if (known === epoch && base) bases.set(epoch, lsnFromHex(base));
  else asked.delete(epoch);
}

function choose(): ReadEntry {
  const { entries } = order;
  const among =
    Math.random() < HOT_SHARE ? Math.ceil(entries.length * HOT_ENTRIES) : entries.length;
  const entry = entries[Math.floor(Math.random() * among)];
  if (!entry) throw new Error('no entries');
  return entry;
}

async function load(entry: ReadEntry): Promise<string> {
  const body = (await loadEntry(database, entry)) ?? 'null';
  const luck = Math.random();
  if (luck > LATE_SHARE) return body;
  counts.slowFills++;
  await sleep(Math.random() * (luck < VERY_LATE_SHARE ? VERY_LATE_MS : LATE_MS));
  return body;
}

function compare(entry: ReadEntry, found: CachedBody, cursor: Cursor): void {
  const base = bases.get(cursor.epoch);
  if (base === undefined) learnBase(cursor.epoch).catch(() => asked.delete(cursor.epoch));
  const isOwn = found.status !== 'bypass' && base !== undefined && cursor.lsn !== base;
  const shown = new Map<number, number>();
  for (const [, key, version] of found.body.matchAll(MARKER))
    shown.set(Number(key), Number(version));
  for (const key of entry.keys) {
    const required = board.required(key, cursor.lsn, isOwn);
    counts.markers++;
    if (isOwn) counts.exact++;
    const version = shown.get(key);
    if (version === undefined ? mayBeAbsent(key, required) : version >= required) continue;
    const { accountId, family, field } = entry;
    const has = version === undefined ? 'nothing' : `version ${version}`;
    report({
      kind: 'stale',
      says:
        `account ${accountId} ${family} ${field.slice(0, 40)}: a ${found.status} at ${cursor.epoch}.${cursor.lsn} ` +
        `shows ${has} of key ${key}, which was at ${required} by then`,
    });
  }
}

/** What comes and goes is away in even versions: one of those that may be shown must be. */
function mayBeAbsent(key: number, required: number): boolean {
  if (required === 0) return true;
  return order.comesAndGoes.has(key) && (required % 2 === 0 || board.newest(key) > required);
}

async function readOn(): Promise<void> {
  while (Atomics.load(progress, READS_END) === 0) {
    const entry = choose();
    const found = await reader.readThrough({ ...entry, load: () => load(entry) });
    if (found.status === 'hit') counts.hits++;
    else if (found.status === 'miss') counts.misses++;
    else counts.bypasses++;
    Atomics.add(progress, READS_DONE, 1);
    if (found.cursor) compare(entry, found, found.cursor);
  }
}

const timer = setInterval(() => report({ kind: 'counts', counts }), REPORT_EVERY_MS);
await Promise.all(Array.from({ length: AT_ONCE }, readOn));
clearInterval(timer);
const rejected = (await metrics.cacheFillsRejected.get()).values
  .map(({ labels, value }) => `${String(labels['reason'])} ${value}`)
  .join(', ');
report({ kind: 'ended', counts, rejected });
redis.disconnect();
await database.close();
