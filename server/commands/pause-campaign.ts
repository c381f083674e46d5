import { campaigns } from '../../domain/entities/campaigns.ts';
import type { Reach } from '../../platform/entity-sql/scope.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { lockCampaign } from './campaign.ts';
import { updateRow } from './update-row.ts';

/**
 * A campaign stops until it is started again. Once this is committed nobody is claimed any more; the few who were
 * claimed before are still written to. @throws ClarinError not_found, conflict.
 */
export async function pauseCampaign(
  tx: Queries,
  options: Reach & { readonly id: number },
): Promise<Written | undefined> {
  await lockCampaign(tx, options, { states: ['scheduled', 'running'], cannot: 'paused' });
  const values = { status: 'paused', status_reason: null, next_at: null };
  return updateRow(tx, { entity: campaigns, ...options, values });
}
