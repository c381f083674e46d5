import { leads } from '../../domain/entities/leads.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { column, ident, sql } from '../../platform/sql.ts';
import { updateRow } from './update-row.ts';

export type LeadMark = 'archived_at' | 'deleted_at';

type Options = {
  accountId: number;
  id: number;
  mark: LeadMark;
  isSet: boolean;
  ifMatch?: string | undefined;
};

/**
 * A lead goes to the archive or the trash, or comes back. Doing it again changes nothing, the date of the first
 * time included. What is in the trash for 30 days is removed by ingest. Undefined: no such lead.
 */
export async function markLead(tx: Queries, options: Options): Promise<Written | undefined> {
  const { accountId, id, mark, isSet, ifMatch } = options;
  const rows = await tx.query(sql`
    select coalesce(${column('lead', mark)}, clock_timestamp()) as since
    from public.leads as lead
    where lead.account_id = ${accountId} and lead.id = ${id}
    for no key update`);
  const row = rows[0];
  if (!row) return undefined;
  return updateRow(tx, {
    entity: leads,
    accountId,
    id,
    values: { [mark]: isSet ? row['since'] : null },
    ifMatch,
  });
}

/** The assignment of a mark, for statements over many leads. */
export function markAssignment(mark: LeadMark, isSet: boolean) {
  return isSet
    ? { set: sql`${ident(mark)} = now()`, where: sql`${column('lead', mark)} is null` }
    : { set: sql`${ident(mark)} = null`, where: sql`${column('lead', mark)} is not null` };
}
