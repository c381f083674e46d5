import { ClarinError } from '../../domain/errors.ts';
import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { counting, tagging, untagging } from './counting.ts';
import { markAssignment } from './mark-lead.ts';
import { explainReferences } from './refusals.ts';

/** One change for many leads. `delete` is the trash; `remove` is for good. */
export type LeadsChange =
  | { readonly action: 'stage'; readonly stage_id: number }
  | { readonly action: 'assign'; readonly assigned_to: number | null }
  | { readonly action: 'tag' | 'untag'; readonly tag_ids: readonly number[] }
  | { readonly action: 'archive' | 'unarchive' | 'delete' | 'restore' }
  | { readonly action: 'remove' };

export type Counts = { readonly matched: number; readonly changed: number };

/** Leads one request may name. */
export const LEADS_MAX = 10_000;

const LINKS = { links: 'lead_tags', owner: 'lead_id' } as const;

/**
 * Many leads are changed alike, in one statement; those that are in that state already are not written.
 * `matched` counts the leads of this account among the ids, `changed` what was written.
 * @throws ClarinError unprocessable when stage, member or tag is not there.
 */
export async function changeLeads(
  tx: Queries,
  { accountId, ids, change }: { accountId: number; ids: readonly number[]; change: LeadsChange },
): Promise<Counts> {
  const statement = statementOf(accountId, ids, change);
  const rows = await explainReferences(tx.query(statement));
  if (rows[0]?.['is_known'] === 'f')
    throw new ClarinError('unprocessable', 'a row this refers to is not there');
  return countsOf(rows[0]);
}

export function countsOf(row: TextRow | undefined): Counts {
  return { matched: Number(row?.['matched'] ?? 0), changed: Number(row?.['changed'] ?? 0) };
}

function statementOf(accountId: number, ids: readonly number[], change: LeadsChange): Sql {
  // Locked in the order of their ids, and as strongly as it will be: two such statements cannot wait for each other.
  const target = sql`
    select lead.id
    from public.leads as lead
    where lead.account_id = ${accountId} and lead.id = any(${[...ids]}::bigint[])
    order by lead.id
    ${change.action === 'remove' ? sql`for update` : sql`for no key update`}`;
  switch (change.action) {
    case 'tag':
      return tagging({ accountId, ...LINKS, target, tagIds: change.tag_ids });
    case 'untag':
      return untagging({ accountId, ...LINKS, target, tagIds: change.tag_ids });
    case 'remove':
      return counting(
        target,
        sql`
          delete from public.leads as lead
          using target
          where lead.account_id = ${accountId} and lead.id = target.id
          returning lead.id`,
      );
    case 'stage':
    case 'assign':
    case 'archive':
    case 'unarchive':
    case 'delete':
    case 'restore': {
      const { set, where } = assignmentOf(change);
      return counting(
        target,
        sql`
          update public.leads as lead
          set ${set}
          from target
          where lead.account_id = ${accountId} and lead.id = target.id and ${where}
          returning lead.id`,
      );
    }
    default:
      return change satisfies never;
  }
}

type Assignment = Extract<
  LeadsChange,
  | { action: 'stage' }
  | { action: 'assign' }
  | { action: 'archive' | 'unarchive' | 'delete' | 'restore' }
>;

function assignmentOf(change: Assignment): { set: Sql; where: Sql } {
  switch (change.action) {
    case 'stage':
      return {
        set: sql`stage_id = ${change.stage_id}::bigint`,
        where: sql`lead.stage_id <> ${change.stage_id}::bigint`,
      };
    case 'assign':
      return {
        set: sql`assigned_to = ${change.assigned_to}::bigint`,
        where: sql`lead.assigned_to is distinct from ${change.assigned_to}::bigint`,
      };
    case 'archive':
      return markAssignment('archived_at', true);
    case 'unarchive':
      return markAssignment('archived_at', false);
    case 'delete':
      return markAssignment('deleted_at', true);
    case 'restore':
      return markAssignment('deleted_at', false);
    default:
      return change satisfies never;
  }
}
