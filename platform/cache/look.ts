import { Cluster } from 'ioredis';
import type { RedisClient } from '../redis.ts';
import { READ, READ_AT_NODE, READ_LEASE, runScript } from './scripts.ts';

/** What a read asks Redis for, before it knows whether any of it can be trusted. */
export type RawLook = {
  readonly watermark: string;
  readonly value: string | undefined;
  /** Clock of the miss, in ms. */
  readonly atMs: string;
  readonly live: string | undefined;
  readonly position: string | undefined;
  /** Of a Cluster: the run ids of the nodes that answered. Of one Redis none: its connection knows it. */
  readonly runIds: readonly string[];
};

type Keys = { head: string; family: string; field: string; live: string; position: string };
type Miss = [watermark: string, value: string | null, atMs?: string, runId?: string];
type Lease = [live: string | null, position: string | null, runId?: string];

/**
 * The entry, and behind it lease and position: the lease was alive when the entry was read. One round trip; in a Cluster
 * they are at two nodes, and it takes two.
 */
export async function lookAt(redis: RedisClient, keys: Keys): Promise<RawLook> {
  if (redis instanceof Cluster) {
    const entry = await runScript(redis, READ_AT_NODE, [keys.head, keys.family], [keys.field]);
    const lease = await runScript(redis, READ_LEASE, [keys.live, keys.position], []);
    return toLook(entry as Miss, lease as Lease);
  }
  const [entry, lease] = await Promise.all([
    runScript(redis, READ, [keys.head, keys.family], [keys.field]),
    redis.mget(keys.live, keys.position),
  ]);
  return toLook(entry as Miss, lease as Lease);
}

function toLook([watermark, value, atMs, node]: Miss, [live, position, control]: Lease): RawLook {
  return {
    watermark,
    value: value ?? undefined,
    atMs: atMs ?? '0',
    live: live ?? undefined,
    position: position ?? undefined,
    runIds: [node, control].filter((runId) => runId !== undefined),
  };
}
