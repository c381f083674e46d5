import { campaigns } from '../../domain/entities/campaigns.ts';
import { ClarinError } from '../../domain/errors.ts';
import { inReach, type Reach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { countsOf, type Counts } from './change-leads.ts';

/**
 * Recipients who still wait are taken out of a campaign, in one statement; whoever was claimed stays. `matched` counts
 * those of this campaign among the ids. @throws ClarinError not_found.
 */
export async function removeRecipients(
  tx: Queries,
  options: Reach & { readonly id: number; readonly recipientIds: readonly number[] },
): Promise<Counts> {
  const { accountId, id, recipientIds } = options;
  const ids = sql`any(${[...recipientIds]}::bigint[])`;
  const [row] = await tx.query(sql`
    with target as materialized (
      select recipient.id
      from public.campaign_recipients as recipient
      where recipient.account_id = ${accountId} and recipient.campaign_id = ${id} and recipient.id = ${ids}
        and recipient.status = 'pending'
        and exists (
          select from public.campaigns as campaign
          where ${inReach(campaigns, 'campaign', options)} and campaign.id = ${id}
        )
      order by recipient.id
      for update
    ),
    changed as (
      delete from public.campaign_recipients as recipient
      using target
      where recipient.account_id = ${accountId} and recipient.id = target.id
      returning recipient.id
    )
    select (
        select count(*)
        from public.campaign_recipients
        where account_id = ${accountId} and campaign_id = campaign.id and id = ${ids}
      ) as matched,
      (select count(*) from changed) as changed
    from public.campaigns as campaign
    where ${inReach(campaigns, 'campaign', options)} and campaign.id = ${id}`);
  if (!row) throw new ClarinError('not_found', 'there is no such row');
  return countsOf(row);
}
