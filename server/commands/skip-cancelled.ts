import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';

type Options = { readonly accountId: number; readonly id: number };

/** Recipients that one transaction leaves out: as many as a person who cancels can wait for. */
const SKIPPED_AT_ONCE = 5_000;

/** The first of those who wait, held in the order of their ids. */
export function waitingRecipients({ accountId, id }: Options): Sql {
  return sql`
    select recipient.id
    from public.campaign_recipients as recipient
    where recipient.account_id = ${accountId} and recipient.campaign_id = ${id} and recipient.status = 'pending'
    order by recipient.id
    limit ${SKIPPED_AT_ONCE}
    for no key update`;
}

/** Who still waits for a campaign that was cancelled is left out. Gives how many were; no more than SKIPPED_AT_ONCE. */
export async function skipCancelled(tx: Queries, options: Options): Promise<number> {
  const { accountId, id } = options;
  const [row] = await tx.query(sql`
    with target as materialized (${waitingRecipients(options)}),
    skipped as (
      update public.campaign_recipients as recipient
      set status = 'skipped', error = 'The campaign was cancelled.'
      from target
      where recipient.account_id = ${accountId} and recipient.id = target.id
        and exists (
          select from public.campaigns
          where account_id = ${accountId} and id = ${id} and status = 'cancelled'
        )
      returning recipient.id
    )
    select count(*) as count from skipped`);
  return Number(row?.['count'] ?? 0);
}
