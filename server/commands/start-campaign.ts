import { campaigns } from '../../domain/entities/campaigns.ts';
import { nextSendAt } from '../../domain/pacing.ts';
import type { Reach } from '../../platform/entity-sql/scope.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { assertSendable, lockCampaign } from './campaign.ts';
import { updateRow } from './update-row.ts';

type Options = Reach & {
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly random: () => number;
};

/**
 * A campaign begins, or goes on where it was paused; with a time that is still to come it waits for that. What was sent
 * before counts for its pace: pausing does not get around the delay.
 * @throws ClarinError not_found, conflict, unprocessable (no device, nobody to write to, a place that cannot be filled).
 */
export async function startCampaign(
  tx: Queries,
  { id, now, random, ...reach }: Options,
): Promise<Written | undefined> {
  const campaign = await lockCampaign(
    tx,
    { ...reach, id },
    { states: ['draft', 'scheduled', 'paused'], cannot: 'started' },
  );
  await assertSendable(tx, reach.accountId, campaign);
  const { scheduledAt, pacing, state } = campaign;
  const isLater = scheduledAt !== undefined && scheduledAt > now;
  const nextAt = isLater ? scheduledAt : nextSendAt(pacing, state, now, random);
  const values = {
    status: isLater ? 'scheduled' : 'running',
    status_reason: null,
    next_at: new Date(nextAt).toISOString(),
    // Of a campaign that goes on it stays what it was.
    ...(isLater || campaign.state.lastAt !== undefined
      ? {}
      : { started_at: new Date(now).toISOString() }),
  };
  return updateRow(tx, { entity: campaigns, ...reach, id, values });
}
