import { campaigns } from '../../../domain/entities/campaigns.ts';
import { estimateEnd, nextSendAt } from '../../../domain/pacing.ts';
import { inReach, type Reach } from '../../../platform/entity-sql/scope.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';
import { CAMPAIGN_COLUMNS, campaignOf, type Campaign } from '../../commands/campaign.ts';
import { IN_FLIGHT_MAX } from '../../commands/claim-recipients.ts';

type Options = Reach & {
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly signal: AbortSignal;
};

/** How far a campaign is and when it will be over, `{...}`; one statement. Undefined: no such campaign. */
export async function readCampaignProgress(
  db: Queries,
  { id, now, signal, ...reach }: Options,
): Promise<string | undefined> {
  const [row] = await db.query(
    sql`
      select ${CAMPAIGN_COLUMNS}, campaign.sent_count, campaign.delivered_count, campaign.read_count,
        campaign.failed_count, campaign.skipped_count, device.status as device_status, (
          select count(*)
          from public.campaign_recipients as recipient
          where recipient.account_id = campaign.account_id and recipient.campaign_id = campaign.id
            and recipient.claimed_at > ${new Date(now).toISOString()}::timestamptz - interval '1 hour'
        ) as last_hour
      from public.campaigns as campaign
      join public.accounts as account on account.id = campaign.account_id
      left join public.devices as device
        on device.account_id = campaign.account_id and device.id = campaign.device_id
      where ${inReach(campaigns, 'campaign', reach)} and campaign.id = ${id}`,
    { signal },
  );
  if (!row) return undefined;
  const campaign = campaignOf(row);
  const { status, totalCount, pendingCount, claimedCount } = campaign;
  const [sent = 0, delivered = 0, read = 0, failed = 0, skipped = 0] = [
    'sent_count',
    'delivered_count',
    'read_count',
    'failed_count',
    'skipped_count',
  ].map((name) => Number(row[name]));
  const isGoing = status === 'running' || status === 'scheduled';
  const waitsFor = isGoing ? waitsForWhat(campaign, row['device_status'] ?? undefined) : undefined;
  const counts = { pending: pendingCount, claimed: claimedCount, failed, skipped };
  return JSON.stringify({
    id,
    status,
    total: totalCount,
    // Each recipient in one of them.
    by_status: { ...counts, sent: sent - delivered, delivered: delivered - read, read },
    settled: totalCount - pendingCount - claimedCount,
    claimed_last_hour: Number(row['last_hour']),
    ...(waitsFor === undefined ? {} : { waits_for: waitsFor }),
    ...(isGoing ? expected(campaign, now) : {}),
  });
}

function waitsForWhat(
  { claimedCount }: Campaign,
  deviceStatus: string | undefined,
): 'device' | 'outbox' | undefined {
  if (deviceStatus !== 'connected') return 'device';
  return claimedCount >= IN_FLIGHT_MAX ? 'outbox' : undefined;
}

function expected({ pacing, state, nextAt, pendingCount }: Campaign, now: number): object {
  if (nextAt === undefined) return {};
  const from = nextSendAt(pacing, { ...state, lastAt: undefined }, Math.max(nextAt, now), () => 0);
  const end = estimateEnd(pacing, state, from, pendingCount);
  const iso = (instant: number): string => new Date(instant).toISOString();
  return { next_at: iso(from), ...(end === undefined ? {} : { estimated_end_at: iso(end) }) };
}
