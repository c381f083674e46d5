import { leads } from '../../domain/entities/leads.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { updateRow } from './update-row.ts';

type Options = {
  accountId: number;
  id: number;
  outcome: 'won' | 'lost';
  reason?: string | undefined;
  ifMatch?: string | undefined;
};

/** A lead is won or lost: it goes to that stage of its own pipeline. Undefined: no such lead. */
export async function closeLead(tx: Queries, options: Options): Promise<Written | undefined> {
  const { accountId, id, outcome, reason, ifMatch } = options;
  // Held first: somebody may be moving it to another pipeline.
  const [lead] = await tx.query(sql`
    select pipeline_id from public.leads where account_id = ${accountId} and id = ${id} for no key update`);
  const rows = await tx.query(sql`
    select id
    from public.pipeline_stages
    where account_id = ${accountId} and pipeline_id = ${lead?.['pipeline_id'] ?? null} and type = ${outcome}`);
  const stageId = rows[0]?.['id'];
  if (!stageId) return undefined;
  const values = {
    stage_id: Number(stageId),
    ...(reason === undefined ? {} : { close_reason: reason }),
  };
  return updateRow(tx, { entity: leads, accountId, id, values, ifMatch });
}
