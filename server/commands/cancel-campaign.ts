import { campaigns } from '../../domain/entities/campaigns.ts';
import type { Reach } from '../../platform/entity-sql/scope.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { lockCampaign } from './campaign.ts';
import { updateRow } from './update-row.ts';

/**
 * A campaign is over before its end: who still waits is left out. Those who were claimed are still written to.
 * @throws ClarinError not_found, conflict.
 */
export async function cancelCampaign(
  tx: Queries,
  options: Reach & { readonly id: number; readonly now: number },
): Promise<Written | undefined> {
  const { now, ...reach } = options;
  const { accountId, id } = options;
  const waiting = sql`account_id = ${accountId} and campaign_id = ${id} and status = 'pending'`;
  // Recipients first, like everybody who changes them: their trigger takes the campaign last.
  await tx.query(sql`
    select count(*)
    from (select from public.campaign_recipients where ${waiting} order by id for no key update) as held`);
  await lockCampaign(tx, reach, {
    states: ['draft', 'scheduled', 'running', 'paused'],
    cannot: 'cancelled',
  });
  const values = {
    status: 'cancelled',
    status_reason: null,
    next_at: null,
    finished_at: new Date(now).toISOString(),
  };
  const written = await updateRow(tx, { entity: campaigns, ...reach, values });
  const left = await tx.query(sql`
    with left_out as (
      update public.campaign_recipients
      set status = 'skipped', error = 'The campaign was cancelled.'
      where ${waiting}
      returning id
    )
    select count(*) as count from left_out`);
  // Its counts have moved with them.
  return left[0]?.['count'] === '0'
    ? written
    : updateRow(tx, { entity: campaigns, ...reach, values });
}
