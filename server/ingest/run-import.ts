import type { Readable } from 'node:stream';
import { ClarinError, ERRORS } from '../../domain/errors.ts';
import { checkRecord, isBlank } from '../../platform/csv/contact-record.ts';
import { mapRecord } from '../../platform/csv/mapping.ts';
import { openCsv, type CsvFile } from '../../platform/csv/read-csv.ts';
import type { Log } from '../../platform/log.ts';
import type { MediaStore } from '../../platform/media/store.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Database, Origin } from '../../platform/postgres.ts';
import { advanceImport, finishImport, type ImportBatch } from '../commands/advance-import.ts';
import { holdImport, releaseImport, type ClaimedImport } from '../commands/lease-import.ts';

/** Rows of one transaction: a commit of this size is no burden to the feed, and a statement takes some 100 ms. */
const BATCH_ROWS = 500;
/** While rows that are settled are passed over, the lease is prolonged this often; a second or two of reading. */
const SKIP_BYTES = 4 * 1024 * 1024;
/** A batch that collides with somebody else's new contacts finds them when it is tried again. */
const ATTEMPTS_MAX = 3;
/** When the store or Postgres is away, another worker, or this one, goes on after a while; for as long as it takes. */
const RETRY_AFTER_SECONDS = 5;

export type ImportMeans = {
  readonly database: Database;
  readonly media: MediaStore;
  readonly log: Log;
  readonly metrics: Metrics;
};

/**
 * Carries out a claimed import, from the row at which the one before stopped: reads the file as a stream, a batch of
 * rows and a piece of the file in memory. Ends when the import does, when it was cancelled or lost, or when it must be
 * tried later; then the lease is given back. Rejects only when that fails too.
 */
export async function runImport(
  means: ImportMeans,
  claimed: ClaimedImport,
  signal: AbortSignal,
): Promise<void> {
  const log = means.log.child({ account: claimed.accountId, import: claimed.id });
  let source: Readable | undefined;
  let fault: unknown;
  const onAbort = (): void => void source?.destroy(new ClarinError('timeout', 'stopping'));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const got = await means.media.get(claimed.objectKey);
    if (!got) return await finish(means, claimed, 'the file is no longer in the store');
    source = got.stream;
    source.on('error', (error) => (fault = error));
    if (signal.aborted) onAbort();
    const { encoding, separator, size: bytesMax } = claimed;
    const file = await openCsv(source, { bytesMax, encoding, separator });
    if (await carryOut(means, claimed, file, signal)) await finish(means, claimed);
  } catch (error) {
    const isTransient =
      signal.aborted ||
      error === fault ||
      (error instanceof ClarinError && ERRORS[error.code].retry);
    if (isTransient) {
      if (!signal.aborted) log.warn({ error }, 'the import waits for a service');
      await releaseImport(means.database, claimed, signal.aborted ? 0 : RETRY_AFTER_SECONDS);
      return;
    }
    if (!isOfTheFile(error)) log.error({ error }, 'the import failed');
    await finish(means, claimed, sentenceOf(error));
  } finally {
    signal.removeEventListener('abort', onAbort);
    source?.destroy();
  }
}

/** What the reader of CSV and the rules of the database say is for whoever sent the file. */
function isOfTheFile(error: unknown): error is ClarinError {
  return error instanceof ClarinError && error.status < 500;
}

function sentenceOf(error: unknown): string {
  if (isOfTheFile(error)) return error.message;
  return 'something unexpected happened; what was imported before it stays, and importing the file again goes on';
}

/** True when the whole file is settled; false when the import is no longer ours to go on with. */
async function carryOut(
  means: ImportMeans,
  claimed: ClaimedImport,
  file: CsvFile,
  signal: AbortSignal,
): Promise<boolean> {
  for await (const batch of batchesOf(claimed, file)) {
    const isMine =
      batch.rows.length > 0
        ? await settleBatch(means, claimed, batch, signal)
        : await prolong(means, claimed, signal);
    if (!isMine) return false;
  }
  return true;
}

/** Batches of the rows that are not settled yet; while the others are passed over, one without rows now and then. */
async function* batchesOf(
  { mapping, country, processedCount }: ClaimedImport,
  file: CsvFile,
): AsyncGenerator<ImportBatch, void, undefined> {
  let rows: ImportBatch['rows'][number][] = [];
  let isHeader = true;
  let passed = 0;
  let prolongedAt = 0;
  for await (const { line, fields } of file.records) {
    if (isHeader) {
      isHeader = false;
      continue;
    }
    const mapped = mapRecord(mapping, fields);
    if (isBlank(mapped)) continue;
    if (passed < processedCount) {
      passed += 1;
      if (file.readBytes() - prolongedAt < SKIP_BYTES) continue;
      prolongedAt = file.readBytes();
      yield { rows: [], processedBytes: prolongedAt };
      continue;
    }
    rows.push({ line, record: checkRecord(mapped, country) });
    if (rows.length < BATCH_ROWS) continue;
    yield { rows, processedBytes: file.readBytes() };
    rows = [];
  }
  if (rows.length > 0) yield { rows, processedBytes: file.readBytes() };
}

async function settleBatch(
  { database, metrics }: ImportMeans,
  claimed: ClaimedImport,
  batch: ImportBatch,
  signal: AbortSignal,
): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { value } = await database.transaction((tx) => advanceImport(tx, claimed, batch), {
        origin: originOf(claimed),
        signal,
      });
      for (const [outcome, count] of Object.entries(value.counts))
        metrics.importedRows.inc({ outcome }, count);
      return value.hold === 'mine';
    } catch (error) {
      const isCollision = error instanceof ClarinError && error.code === 'conflict';
      if (!isCollision || attempt === ATTEMPTS_MAX) throw error;
    }
  }
}

async function prolong(
  { database }: ImportMeans,
  claimed: ClaimedImport,
  signal: AbortSignal,
): Promise<boolean> {
  const { value } = await database.transaction((tx) => holdImport(tx, claimed), { signal });
  return value === 'mine';
}

async function finish(means: ImportMeans, claimed: ClaimedImport, error?: string): Promise<void> {
  const { value } = await means.database.transaction((tx) => finishImport(tx, claimed, error), {
    origin: originOf(claimed),
  });
  if (value !== 'mine') return;
  const fields = { account: claimed.accountId, import: claimed.id, says: error };
  means.log.info(fields, 'import is over');
}

function originOf({ actorId }: ClaimedImport): Origin {
  return { source: 'import', ...(actorId === undefined ? {} : { actor_id: actorId }) };
}
