import type pg from 'pg';
import { ClarinError } from '../domain/errors.ts';
import { sleep } from '../platform/backoff.ts';
import type { ControlStore } from '../platform/cache/control.ts';
import type { Log } from '../platform/log.ts';
import { connectClient } from '../platform/postgres.ts';
import { sql } from '../platform/sql.ts';
import { endClient, queryWithin } from './own-connection.ts';

/**
 * One replicator of many leads: whoever holds an advisory lock named after the slot, on a connection of its own. The lock
 * ends with the connection, so a leader that dies is replaced at the next try of a standby. A leader that is paused keeps
 * its connection; its beat in Redis stops, and a standby that has missed it for a while ends the connection for it. What
 * a paused leader does when it wakes is refused by its term, in Redis, and its walsender is gone.
 * https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
 */
export type Leadership = {
  /** Aborted when the lock is gone. */
  readonly lost: AbortSignal;
  /** Gives the lock back. Idempotent. */
  release(): Promise<void>;
};

const TRY_EVERY_MS = 250;
/** The connection that holds the lock is asked whether it is still there. */
const PROBE_EVERY_MS = 1_000;
const PROBE_TIMEOUT_MS = 3_000;
/** Without a beat for this long, while somebody holds the lock, that somebody is taken for paused. */
const SILENCE_MS_MAX = 3_000;
const RETRY_MS = 1_000;

type Options = {
  readonly url: string;
  readonly slot: string;
  readonly control: ControlStore;
  readonly log: Log;
  /** Called when another one leads, once per wait. */
  readonly onStandby: () => void;
};

/** Waits until this process leads. @throws the signal's reason. */
export async function acquireLeadership(
  options: Options,
  signal: AbortSignal,
): Promise<Leadership> {
  let isStandby = false;
  for (;;) {
    signal.throwIfAborted();
    let client: pg.Client | undefined;
    try {
      client = await connectClient({
        url: options.url,
        applicationName: `clarin leader ${options.slot}`,
        settings: { idle_session_timeout: '0' },
      });
      await waitForLock(client, options, signal, () => {
        if (!isStandby) options.onStandby();
        isStandby = true;
      });
      return hold(client, options.log);
    } catch (error) {
      if (client) await endClient(client);
      signal.throwIfAborted();
      options.log.warn({ error }, 'cannot ask for the leadership');
      await sleep(RETRY_MS, signal);
    }
  }
}

async function waitForLock(
  client: pg.Client,
  options: Options,
  signal: AbortSignal,
  onStandby: () => void,
): Promise<void> {
  let silentSinceMs: number | undefined;
  for (;;) {
    const [row] = await queryWithin(
      PROBE_TIMEOUT_MS,
      client,
      sql`select pg_try_advisory_lock(${lockKey(options.slot)}) as won`,
    );
    if (row?.['won'] === 't') return;
    onStandby();
    // A Redis that does not answer says nothing about the leader.
    const isAlive = await options.control.isLeaderAlive().catch(() => true);
    silentSinceMs = isAlive ? undefined : (silentSinceMs ?? performance.now());
    if (silentSinceMs !== undefined && performance.now() - silentSinceMs > SILENCE_MS_MAX) {
      await endHolder(client, options);
      silentSinceMs = undefined;
    }
    await sleep(TRY_EVERY_MS, signal);
  }
}

/** Ends the connection of a leader that holds the lock and does not beat. */
async function endHolder(client: pg.Client, { slot, log }: Options): Promise<void> {
  const rows = await queryWithin(
    PROBE_TIMEOUT_MS,
    client,
    sql`select locks.pid, pg_terminate_backend(locks.pid) as ended
        from pg_locks as locks
        where locks.locktype = 'advisory' and locks.granted and locks.objsubid = 1
          and locks.database = (select oid from pg_database where datname = current_database())
          and ((locks.classid::bigint << 32) | locks.objid::bigint) = ${lockKey(slot)}::bigint`,
  );
  log.warn(
    { slot, ended: rows.map((row) => row['pid']) },
    'ended the connection of a leader that does not beat',
  );
}

/** A 64-bit key from the slot's name, the same in every process: FNV-1a. */
function lockKey(slot: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(`clarin leader ${slot}`)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return String(BigInt.asIntN(64, hash));
}

function hold(client: pg.Client, log: Log): Leadership {
  const lost = new AbortController();
  const probing = new AbortController();
  const lose = (why: string): void => {
    if (lost.signal.aborted) return;
    probing.abort();
    lost.abort(new ClarinError('leadership_lost', why));
    void endClient(client);
  };
  client.on('error', () => lose('the connection that holds the lock broke'));
  client.on('end', () => lose('the connection that holds the lock ended'));
  const probe = async (): Promise<void> => {
    for (;;) {
      await sleep(PROBE_EVERY_MS, probing.signal);
      await queryWithin(PROBE_TIMEOUT_MS, client, sql`select 1 as alive`);
    }
  };
  probe().catch((error: unknown) => {
    if (probing.signal.aborted) return;
    log.warn({ error }, 'the leadership cannot be probed');
    lose('the connection that holds the lock broke');
  });
  return {
    lost: lost.signal,
    release: async () => {
      lose('given back');
      await endClient(client);
    },
  };
}
