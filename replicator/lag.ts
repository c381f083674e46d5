import { sleep } from '../platform/backoff.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import type { Queries } from '../platform/postgres.ts';
import { judgeSlot, readSlot, type SlotStatus } from '../platform/replication-slot.ts';
import { sql } from '../platform/sql.ts';
import { translateError } from '../platform/sqlstate.ts';

const LOOK_EVERY_MS = 2_000;
/** While nobody reads it: health should not be red for longer than the feed is not live. */
const LOOK_AGAIN_MS = 200;
const WAL_STATES = ['reserved', 'extended', 'unreserved', 'lost'] as const;

type Options = { db: Queries; slot: string; metrics: Metrics; log: Log };

/** Looks at the slot as long as the process lives, whoever leads: for /metrics, for /health, and for one line when it changes. */
export class SlotMonitor {
  readonly #options: Options;
  #status: SlotStatus | undefined;
  #failure: Error | undefined;
  #says = '';

  constructor(options: Options) {
    this.#options = options;
  }

  /** As of the last look; undefined when there is no slot. @throws what the last look threw. */
  read(): SlotStatus | undefined {
    if (this.#failure) throw this.#failure;
    return this.#status;
  }

  async run(signal: AbortSignal): Promise<never> {
    for (;;) {
      await this.look();
      await sleep(this.#status?.active ? LOOK_EVERY_MS : LOOK_AGAIN_MS, signal);
    }
  }

  async look(): Promise<void> {
    const { db, slot, metrics, log } = this.#options;
    try {
      const status = await readSlot(db, slot);
      this.#status = status;
      this.#failure = undefined;
      exportStatus(metrics, status);
      const state = status
        ? `${status.walStatus} ${status.active ? 'active' : 'inactive'}`
        : 'missing';
      if (state !== this.#says) log.info({ slot, state, judged: judgeSlot(status).says }, 'slot');
      this.#says = state;
    } catch (error) {
      this.#failure = translateError(error);
    }
  }
}

function exportStatus(metrics: Metrics, status: SlotStatus | undefined): void {
  for (const state of WAL_STATES)
    metrics.slotWalStatus.set({ status: state }, status?.walStatus === state ? 1 : 0);
  metrics.slotActive.set(status?.active ? 1 : 0);
  metrics.slotRetainedBytes.set(status?.retainedBytes ?? 0);
  const safeWalBytes = status?.safeWalBytes ?? null;
  if (safeWalBytes !== null) metrics.slotSafeWalBytes.set(safeWalBytes);
  else metrics.slotSafeWalBytes.remove();
  if (status?.confirmedFlushLsn !== undefined) {
    metrics.confirmedLagBytes.set(Number(status.currentLsn - status.confirmedFlushLsn));
  }
}

/** wal_sender_timeout in ms, 0 when it is off. The walsender of the same role in the same database has the same. */
export async function readWalSenderTimeoutMs(db: Queries): Promise<number> {
  const [row] = await db.query(
    sql`select setting from pg_settings where name = 'wal_sender_timeout'`,
  );
  return Number(row?.['setting'] ?? 0);
}
