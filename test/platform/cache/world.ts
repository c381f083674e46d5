import { Redis } from 'ioredis';
import { accountKeys, controlKeys, type Keyspace } from '../../../domain/cache-key.ts';
import type { AccountCommit } from '../../../domain/change.ts';
import { LSN_ZERO, toLsn, type Lsn } from '../../../domain/lsn.ts';
import { ControlStore, type Mandate } from '../../../platform/cache/control.ts';
import { CacheReader } from '../../../platform/cache/reader.ts';
import { CacheWriter } from '../../../platform/cache/writer.ts';
import type { EpochIdentity } from '../../../platform/cache/types.ts';
import { createLog } from '../../../platform/log.ts';
import { createMetrics, type Metrics } from '../../../platform/metrics.ts';

const IDENTITY: EpochIdentity = {
  systemId: '1',
  timeline: 1,
  slot: 'test',
  publication: 'p',
};
const log = createLog({ component: 'cache', level: 'silent' });

/** A cache protocol on a real Redis, with everything a replicator and readers need of it. */
export type CacheWorld = {
  readonly redis: Redis;
  readonly space: Keyspace;
  readonly metrics: Metrics;
  readonly control: ControlStore;
  readonly writer: () => CacheWriter;
  readonly reader: () => Promise<CacheReader>;
  /** Opens an epoch at `base` under a new term and lets readers trust it. */
  readonly lead: (base?: Lsn) => Promise<Mandate>;
  readonly renew: (mandate: Mandate) => Promise<boolean>;
  readonly close: () => Promise<void>;
};

let worlds = 0;

/** A world of its own key prefix on the Redis at `url`. */
export async function openCacheWorld(url: string): Promise<CacheWorld> {
  const space: Keyspace = { prefix: `t${process.pid}-${++worlds}` };
  const metrics = createMetrics('test');
  const connections: Redis[] = [];
  const connect = async (): Promise<Redis> => {
    const redis = new Redis(url, {
      lazyConnect: true,
      enableAutoPipelining: true,
      commandTimeout: 2_000,
    });
    redis.on('error', () => undefined);
    connections.push(redis);
    await redis.connect();
    return redis;
  };
  const redis = await connect();
  const control = new ControlStore({ redis, space, log });
  return {
    redis,
    space,
    metrics,
    control,
    writer: () => new CacheWriter({ redis, space, metrics }),
    reader: async () => {
      const reader = new CacheReader({ redis: await connect(), space, log, metrics });
      await until(async () => (await probe(reader)) !== 'bypass' || !(await reader.isLive()));
      return reader;
    },
    lead: async (base = LSN_ZERO) => {
      const term = await control.raiseTerm();
      const epoch = await control.openEpoch({ term, base, identity: IDENTITY });
      const mandate = { term, epoch };
      await control.renewLease({ ...mandate, sentAtMs: await control.redisTimeMs() });
      return mandate;
    },
    renew: async (mandate) =>
      control.renewLease({ ...mandate, sentAtMs: await control.redisTimeMs() }),
    close: async () => {
      for (const connection of connections) connection.disconnect();
    },
  };
}

async function probe(reader: CacheReader): Promise<string> {
  const load = async (): Promise<string> => '';
  return (await reader.readThrough({ accountId: 999_999, family: 'tags.list', field: 'x', load }))
    .status;
}

async function until(check: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1_000; tries++) {
    if (await check()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  throw new Error('never happened');
}

export const lsn = (value: number): Lsn => toLsn(BigInt(value));

/** A commit with one change of a lead. */
export function commitOf(accountId: number, at: number, json = `{"at":${at}}`): AccountCommit {
  return {
    accountId,
    lsn: lsn(at),
    xid: at,
    at: '2026-01-01T00:00:00.000000Z',
    origin: undefined,
    changes: [{ table: 'leads', op: 'update', json, keyJson: '{"id":1}', now: {}, was: null }],
    signals: [],
  };
}

export function keysOf(world: CacheWorld, accountId: number, epoch: string) {
  return { ...accountKeys(world.space, accountId, epoch), control: controlKeys(world.space) };
}
