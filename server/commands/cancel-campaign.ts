import { campaigns } from '../../domain/entities/campaigns.ts';
import type { Reach } from '../../platform/entity-sql/scope.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { lockCampaign } from './campaign.ts';
import { skipCancelled, waitingRecipients } from './skip-cancelled.ts';
import { updateRow } from './update-row.ts';

/**
 * A campaign is over before its end: who still waits is left out, the first thousands of them at once and the others by
 * the campaign worker. Those who were claimed are still written to. @throws ClarinError not_found, conflict.
 */
export async function cancelCampaign(
  tx: Queries,
  options: Reach & { readonly id: number; readonly now: number },
): Promise<Written | undefined> {
  const { now, ...one } = options;
  // Recipients first, like everybody who changes them: their trigger takes the campaign last.
  await tx.query(sql`select count(*) from (${waitingRecipients(one)}) as held`);
  await lockCampaign(tx, one, {
    states: ['draft', 'scheduled', 'running', 'paused'],
    cannot: 'cancelled',
  });
  const values = {
    status: 'cancelled',
    status_reason: null,
    next_at: null,
    finished_at: new Date(now).toISOString(),
  };
  const written = await updateRow(tx, { entity: campaigns, ...one, values });
  const skipped = await skipCancelled(tx, one);
  // Its counts have moved with them.
  return skipped === 0 ? written : updateRow(tx, { entity: campaigns, ...one, values });
}
