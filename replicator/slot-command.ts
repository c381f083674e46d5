import type { Config } from '../platform/config.ts';
import { ClarinError } from '../domain/errors.ts';
import { formatLsn, type Lsn } from '../domain/lsn.ts';
import { EXIT } from '../platform/lifecycle.ts';
import type { Log } from '../platform/log.ts';
import { createMetrics } from '../platform/metrics.ts';
import { createDatabase } from '../platform/postgres.ts';
import { formatBytes, judgeSlot, readSlot, type SlotStatus } from '../platform/replication-slot.ts';
import { assertPostgresFits } from './postgres-fits.ts';
import { createSlot, dropSlot } from './slot.ts';
import { VisibilityGate } from './visibility-gate.ts';

const USAGE = 'usage: clarin slot status | create | drop\n';
/** `slot status` of a slot that is missing, lost or unread. */
const EXIT_UNHEALTHY = 3;

/**
 * `clarin slot status | create | drop`. Resolves with the exit code: 0, 1 for a wrong word or server, 3 when the slot is
 * not well. Dropping ends whoever reads the slot; the leading replicator then makes a new one and a new epoch.
 */
export async function runSlotCommand(
  config: Config,
  log: Log,
  words: readonly string[],
): Promise<number> {
  const [word, ...rest] = words;
  if (rest.length > 0 || (word !== 'status' && word !== 'create' && word !== 'drop')) {
    process.stderr.write(USAGE);
    return EXIT.configuration;
  }
  const db = createDatabase({
    url: config.replicationDatabaseUrl,
    applicationName: 'clarin slot',
    max: 2,
    statementTimeoutMs: config.statementTimeoutMs,
    log,
  });
  const { signal } = new AbortController();
  try {
    const database = await assertPostgresFits(db);
    const context = { url: config.replicationDatabaseUrl, db, slot: config.slot, database, log };
    const status = await readSlot(db, config.slot);
    if (word === 'create' && !status) {
      await createSlot(context, signal);
      // A replicator that finds this slot takes it that everything before it is visible.
      await new VisibilityGate({ db, metrics: createMetrics('slot') }).settle(signal);
    }
    if (word === 'drop' && status) await dropSlot(context, signal);
    const now = await readSlot(db, config.slot);
    process.stdout.write(describeSlot(config.slot, now));
    if (word === 'status') return judgeSlot(now).ok ? EXIT.ok : EXIT_UNHEALTHY;
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ClarinError)) throw error;
    process.stderr.write(`clarin: ${error.message}\n`);
    return EXIT.configuration;
  } finally {
    await db.close();
  }
}

/** A block to be read by a person. */
function describeSlot(name: string, status: SlotStatus | undefined): string {
  const { says } = judgeSlot(status);
  if (!status) return `slot ${name}\n  ${says}\n`;
  const lsn = (value: Lsn | undefined): string => (value === undefined ? 'none' : formatLsn(value));
  const lag =
    status.confirmedFlushLsn === undefined
      ? 0
      : Number(status.currentLsn - status.confirmedFlushLsn);
  const facts: [string, string][] = [
    ['database', `${status.database} (${status.plugin})`],
    ['active', status.active ? `yes, process ${status.activePid ?? '?'}` : 'no'],
    ['wal status', status.walStatus ?? 'unknown'],
    ...(status.invalidationReason === undefined
      ? []
      : [['invalidated', status.invalidationReason] as [string, string]]),
    ['wal kept', formatBytes(status.retainedBytes)],
    [
      'budget left',
      status.safeWalBytes === null
        ? 'no budget (max_slot_wal_keep_size)'
        : formatBytes(status.safeWalBytes),
    ],
    ['restart', lsn(status.restartLsn)],
    ['confirmed', `${lsn(status.confirmedFlushLsn)}, ${formatBytes(lag)} behind`],
    ['current', lsn(status.currentLsn)],
    ['spilled', `${status.spill.transactions} transactions, ${formatBytes(status.spill.bytes)}`],
    ['decoded', `${status.total.transactions} transactions, ${formatBytes(status.total.bytes)}`],
  ];
  const lines = facts.map(([label, value]) => `  ${label.padEnd(12)} ${value}\n`);
  return `slot ${name}\n  ${says}\n${lines.join('')}`;
}
