import { campaigns } from '../../domain/entities/campaigns.ts';
import { inReach, type Reach } from '../../platform/entity-sql/scope.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { assertSendable, lockCampaign, type Campaign } from './campaign.ts';
import { createRow } from './create-row.ts';
import { deleteRow } from './delete-row.ts';
import { updateRow } from './update-row.ts';

type Values = Readonly<Record<string, unknown>>;
type Named = Reach & { readonly id: number; readonly ifMatch?: string | undefined };

/** A campaign is drafted, and who drafted it is written down. @throws ClarinError conflict, unprocessable, forbidden. */
export function createCampaign(
  tx: Queries,
  { actorId, values, ...reach }: Reach & { readonly actorId: number; readonly values: Values },
): Promise<Written> {
  return createRow(tx, {
    entity: campaigns,
    ...reach,
    values: { ...values, created_by: actorId },
  });
}

/**
 * A campaign that does not run is changed, in the named columns only. One that is scheduled must still be able to run
 * afterwards; without a time it is a draft again.
 * @throws ClarinError not_found, conflict while it runs or is over, precondition_failed, unprocessable, forbidden.
 */
export async function changeCampaign(
  tx: Queries,
  { values, now, ...named }: Named & { readonly values: Values; readonly now: number },
): Promise<Written | undefined> {
  const states = ['draft', 'scheduled', 'paused'] as const;
  const { ifMatch, ...one } = named;
  const { status } = await lockCampaign(tx, one, { states, cannot: 'changed' });
  const written = await updateRow(tx, { entity: campaigns, ...one, ifMatch, values });
  if (status !== 'scheduled' || !written?.changed) return written;
  const changed = await lockCampaign(tx, one, { states, cannot: 'changed' });
  if (changed.scheduledAt !== undefined) await assertSendable(tx, one.accountId, changed);
  return updateRow(tx, { entity: campaigns, ...one, values: plannedValues(changed, now) });
}

function plannedValues({ scheduledAt }: Campaign, now: number): Values {
  if (scheduledAt === undefined) return { status: 'draft', next_at: null };
  return { next_at: new Date(Math.max(scheduledAt, now)).toISOString() };
}

/** A campaign that does not run is deleted for good, with its recipients; what was sent stays. Gives it as it was, JSON text. */
export async function deleteCampaign(tx: Queries, named: Named): Promise<string> {
  const { ifMatch, ...one } = named;
  // Recipients first, like everybody who changes them: receipts still come when it is over.
  await tx.query(sql`
    select count(*)
    from (
      select from public.campaign_recipients
      where account_id = ${one.accountId} and campaign_id = ${one.id} and exists (
        select from public.campaigns as campaign where ${inReach(campaigns, 'campaign', one)} and campaign.id = ${one.id}
      )
      order by id
      for update
    ) as held`);
  await lockCampaign(tx, one, {
    states: ['draft', 'scheduled', 'paused', 'done', 'cancelled'],
    cannot: 'deleted: pause it first',
  });
  return deleteRow(tx, { entity: campaigns, ...one, ifMatch });
}
