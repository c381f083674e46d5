import type { CheckedRecord, RecordFault } from '../../platform/csv/contact-record.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { importContacts } from './import-contacts.ts';
import type { Outcome } from './import-plan.ts';
import { holdImport, removeFile, type ClaimedImport, type Hold } from './lease-import.ts';

/** Rows of the file that follow each other. */
export type ImportBatch = {
  readonly rows: readonly { readonly line: number; readonly record: CheckedRecord }[];
  /** Of the file, up to the last of them. */
  readonly processedBytes: number;
};

export type ImportCounts = Readonly<Record<Outcome['kind'], number>>;

type LineFault = RecordFault & { readonly line: number };

const ERRORS_MAX = 1_000;
const FIELD_CHARACTERS_MAX = 200;
const MESSAGE_CHARACTERS_MAX = 500;

/**
 * A batch of an import is carried out, and the import's counts move with it: after a crash either both are there or
 * neither. Nothing is written unless the hold is `mine`. @throws ClarinError as importContacts does.
 */
export async function advanceImport(
  tx: Queries,
  claimed: ClaimedImport,
  { rows, processedBytes }: ImportBatch,
): Promise<{ hold: Hold; counts: ImportCounts }> {
  const counts = { created: 0, updated: 0, unchanged: 0, failed: 0 };
  const hold = await holdImport(tx, claimed);
  if (hold !== 'mine') return { hold, counts };
  const faults: LineFault[] = [];
  const good = rows.flatMap(({ line, record }) => {
    if (record.ok) return { line, contact: record.contact };
    counts.failed += 1;
    for (const fault of record.faults) faults.push({ ...fault, line });
    return [];
  });
  const outcomes =
    good.length === 0
      ? []
      : await importContacts(tx, {
          accountId: claimed.accountId,
          actorId: claimed.actorId,
          rows: good.map(({ contact }) => contact),
          isDryRun: claimed.isDryRun,
        });
  outcomes.forEach((outcome, index) => {
    counts[outcome.kind] += 1;
    if (outcome.kind === 'failed') faults.push({ ...outcome.fault, line: good[index]?.line ?? 1 });
  });
  if (faults.length > 0) await keepFaults(tx, claimed, faults);
  await tx.query(sql`
    update public.imports
    set processed_count = processed_count + ${rows.length}::integer,
      created_count = created_count + ${counts.created}::integer,
      updated_count = updated_count + ${counts.updated}::integer,
      unchanged_count = unchanged_count + ${counts.unchanged}::integer,
      failed_count = failed_count + ${counts.failed}::integer,
      processed_bytes = ${processedBytes}::integer
    where account_id = ${claimed.accountId} and id = ${claimed.id}`);
  return { hold, counts };
}

async function keepFaults(
  tx: Queries,
  claimed: ClaimedImport,
  faults: readonly LineFault[],
): Promise<void> {
  const ordered = faults.toSorted((left, right) => left.line - right.line);
  const cut = (text: string | undefined, max: number): string | null =>
    text === undefined ? null : text.slice(0, max).toWellFormed();
  await tx.query(sql`
    insert into public.import_errors (account_id, import_id, line, field, message)
    select ${claimed.accountId}::bigint, ${claimed.id}::bigint, given.line, given.field, given.message
    from unnest(
      ${ordered.map(({ line }) => line)}::integer[],
      ${ordered.map(({ field }) => cut(field, FIELD_CHARACTERS_MAX))}::text[],
      ${ordered.map(({ message }) => cut(message, MESSAGE_CHARACTERS_MAX))}::text[]
    ) with ordinality as given (line, field, message, at)
    order by given.at
    limit greatest(0, ${ERRORS_MAX} - (
      select count(*) from public.import_errors where account_id = ${claimed.accountId} and import_id = ${claimed.id}
    ))`);
}

/** `error` is the sentence for whoever wanted the import; without it all went well. */
export async function finishImport(
  tx: Queries,
  claimed: ClaimedImport,
  error?: string,
): Promise<Hold> {
  const hold = await holdImport(tx, claimed);
  if (hold === 'lost') return hold;
  await tx.query(sql`delete from private.import_leases where import_id = ${claimed.id}`);
  if (hold === 'over') return hold;
  await tx.query(sql`
    update public.imports
    set state = ${error === undefined ? 'done' : 'failed'},
      error = ${error?.slice(0, MESSAGE_CHARACTERS_MAX) ?? null},
      processed_bytes = case when ${error === undefined} then size else processed_bytes end,
      finished_at = clock_timestamp()
    where account_id = ${claimed.accountId} and id = ${claimed.id}`);
  await removeFile(tx, claimed.accountId, claimed.objectKey);
  return hold;
}
