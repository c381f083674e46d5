import { ClarinError } from '../domain/errors.ts';
import { LSN_ZERO, type Lsn } from '../domain/lsn.ts';
import { backoffMs, sleep } from '../platform/backoff.ts';
import type { Log } from '../platform/log.ts';
import { connectClient, type Queries } from '../platform/postgres.ts';
import { isSlotLost, readSlot, type SlotStatus } from '../platform/replication-slot.ts';
import { sql } from '../platform/sql.ts';
import { translateError } from '../platform/sqlstate.ts';
import type { SlotFacts } from './epoch.ts';
import { endClient, queryWithin } from './own-connection.ts';
import { isWorthRetrying } from './retry.ts';

export type SlotContext = {
  readonly url: string;
  readonly db: Queries;
  readonly slot: string;
  readonly database: string;
  readonly log: Log;
};

/** How long one try at creating a slot waits for the transactions that are open; lock_timeout alone bounds it (H12). */
const CREATE_LOCK_TIMEOUT_MS = 5_000;
/** Over all: building the first snapshot reads WAL, and a server may be gone. */
const CREATE_TIMEOUT_MS = 60_000;
/** Never gives up: without a slot there is nothing to do, and health is red meanwhile. */
const CREATE_RETRY = { minMs: 250, maxMs: 5_000 };
const RELEASE_TIMEOUT_MS = 5_000;
const RELEASE_POLL_MS = 50;

/** Pure: what a slot's row means for the epoch. */
export function factsOf(status: SlotStatus | undefined): SlotFacts {
  if (!status) return { state: 'missing' };
  if (isSlotLost(status)) return { state: 'lost' };
  return {
    state: 'usable',
    confirmed: status.confirmedFlushLsn ?? LSN_ZERO,
    currentLsn: status.currentLsn,
  };
}

/** @throws ClarinError `configuration` when a slot of this name belongs to something else. */
export function assertSlotIsOurs(status: SlotStatus, database: string): void {
  if (status.plugin === 'pgoutput' && status.database === database) return;
  throw new ClarinError(
    'configuration',
    `Slot ${status.name} belongs to database ${status.database} with plugin ${status.plugin}: set CLARIN_SLOT to another name.`,
  );
}

/**
 * Makes the slot. Waits for every transaction that is open, so it is tried for a few seconds at a time and says whom it waits
 * for. Resolves with the position from which everything will be streamed. @throws the signal's reason; ClarinError
 * `configuration` when the server or the role cannot have one.
 */
export async function createSlot(context: SlotContext, signal: AbortSignal): Promise<Lsn> {
  const { db, slot, log } = context;
  for (let attempt = 0; ; attempt++) {
    try {
      await createOnce(context);
      const status = await readSlot(db, slot);
      if (status?.confirmedFlushLsn === undefined)
        throw new ClarinError('unavailable', 'the new slot is gone again');
      log.info({ slot, retainedBytes: status.retainedBytes }, 'replication slot created');
      return status.confirmedFlushLsn;
    } catch (error) {
      const failure = translateError(error);
      if (!isWorthRetrying(failure)) {
        if (!(await readSlot(db, slot))) throw refusal(failure);
        throw new ClarinError('unavailable', 'somebody else made the slot meanwhile', {
          cause: failure,
        });
      }
      log.warn(
        { error: failure, waitsFor: await readOldest(db) },
        'the slot cannot be created yet',
      );
      await sleep(backoffMs(attempt, CREATE_RETRY), signal);
    }
  }
}

async function createOnce({ url, slot }: SlotContext): Promise<void> {
  const client = await connectClient({
    url,
    applicationName: 'clarin slot',
    settings: { lock_timeout: String(CREATE_LOCK_TIMEOUT_MS), statement_timeout: '0' },
  });
  try {
    const statement = sql`select pg_create_logical_replication_slot(${slot}, 'pgoutput')`;
    await queryWithin(CREATE_TIMEOUT_MS, client, statement);
  } finally {
    await endClient(client);
  }
}

function refusal(failure: ClarinError): ClarinError {
  const { cause } = failure;
  const why = cause instanceof Error ? cause.message : failure.message;
  return new ClarinError('configuration', `The replication slot cannot be created: ${why}.`, {
    cause: failure,
  });
}

/** Who keeps a slot from being made: the oldest open transaction with a number. */
async function readOldest(db: Queries): Promise<Record<string, string | null> | undefined> {
  const rows = await db
    .query(
      sql`select pid, application_name, state, xact_start from pg_stat_activity
          where backend_xid is not null order by xact_start limit 1`,
    )
    .catch(() => []);
  return rows[0];
}

/** Drops the slot when it is there; whoever reads it is terminated first. @throws ClarinError. */
export async function dropSlot(context: SlotContext, signal: AbortSignal): Promise<void> {
  await releaseSlot(context, signal);
  await context.db.query(sql`
    select pg_drop_replication_slot(slots.slot_name)
    from pg_replication_slots as slots where slots.slot_name = ${context.slot}`);
  context.log.info({ slot: context.slot }, 'replication slot dropped');
}

/**
 * Terminates whoever reads the slot and waits until it is free: a leader that was paused, or whose machine is gone, still
 * seems connected to Postgres. Only who holds the leadership may do this.
 */
export async function releaseSlot(
  { db, slot, log }: SlotContext,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + RELEASE_TIMEOUT_MS;
  for (;;) {
    const status = await readSlot(db, slot);
    if (!status?.active) return;
    if (status.activePid !== undefined) {
      log.warn({ slot, pid: status.activePid }, 'ending the walsender of an earlier leader');
      await db.query(sql`select pg_terminate_backend(${status.activePid})`);
    }
    if (performance.now() > deadline)
      throw new ClarinError('unavailable', `slot ${slot} is still read by somebody else`);
    await sleep(RELEASE_POLL_MS, signal);
  }
}
