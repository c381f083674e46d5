import { startRounds, type Running } from '../../platform/lifecycle.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Database } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { claimRecipients, isDue, type ClaimOutcome } from '../commands/claim-recipients.ts';
import { skipCancelled } from '../commands/skip-cancelled.ts';

/** Between two looks. Delays are of seconds: this is what they are rounded up by. */
const ROUND_MS = 1_000;
/** Campaigns of one look. */
const DUE_MAX = 200;
/** Looks of one round: campaigns without a delay and recipients who are left out do not keep a round from ending. */
const LOOKS_MAX = 20;
/** How long a campaign rests that could not be claimed for: a fault is tried again, at a pace. */
const FAULT_REST_SECONDS = 60;

type Means = {
  readonly database: Database;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly now: () => number;
  /** From 0 to less than 1. */
  readonly random: () => number;
};

type Due = { readonly accountId: number; readonly campaignId: number };

/** Claims what is due, every second, until stopped. Any number of workers may run: none claims what another does. */
export function startCampaigns(means: Means): Running {
  return startRounds({
    everyMs: ROUND_MS,
    round: async (signal) => {
      await claimDue(means, signal);
      await sweepCancelled(means, signal);
    },
    onError: (error) => means.log.warn({ error }, 'claiming for campaigns failed'),
  });
}

/**
 * One message of every due campaign, and again while there are such; gives how many were claimed. Every account has its
 * turn before any has a second one. @throws ClarinError when Postgres is away.
 */
export async function claimDue(means: Means, signal?: AbortSignal): Promise<number> {
  let claimed = 0;
  for (let look = 0; look < LOOKS_MAX; look++) {
    let hasMoved = false;
    for (const due of await findDue(means, signal)) {
      if (signal?.aborted) return claimed;
      const outcome = await claim(means, due, signal);
      if (outcome === 'claimed') claimed += 1;
      if (outcome === 'claimed' || outcome === 'skipped') hasMoved = true;
    }
    if (!hasMoved) break;
  }
  return claimed;
}

/** Cancelled campaigns of one look: each has one batch of its recipients left out. */
const CANCELLED_MAX = 20;

/** Leaves out who still waits for campaigns that were cancelled; gives how many. @throws ClarinError when Postgres is away. */
export async function sweepCancelled(
  { database }: Pick<Means, 'database'>,
  signal?: AbortSignal,
): Promise<number> {
  const rows = await database.query(
    sql`
      select account_id, id
      from public.campaigns
      where status = 'cancelled' and pending_count > 0
      order by id
      limit ${CANCELLED_MAX}`,
    { signal },
  );
  let skipped = 0;
  for (const row of rows) {
    const campaign = { accountId: Number(row['account_id']), id: Number(row['id']) };
    const { value } = await database.transaction((tx) => skipCancelled(tx, campaign), {
      origin: { source: 'system' },
      signal,
    });
    skipped += value;
  }
  return skipped;
}

async function findDue({ database, now }: Means, signal?: AbortSignal): Promise<Due[]> {
  const rows = await database.query(
    sql`
      select campaign.account_id, campaign.id
      from public.campaigns as campaign
      join public.accounts as account on account.id = campaign.account_id
      left join public.devices as device
        on device.account_id = campaign.account_id and device.id = campaign.device_id
      where ${isDue(now())}
      order by row_number() over (partition by campaign.account_id order by campaign.next_at, campaign.id),
        campaign.next_at, campaign.id
      limit ${DUE_MAX}`,
    { signal },
  );
  return rows.map((row) => ({
    accountId: Number(row['account_id']),
    campaignId: Number(row['id']),
  }));
}

async function claim(
  means: Means,
  due: Due,
  signal: AbortSignal | undefined,
): Promise<ClaimOutcome | 'failed'> {
  const { database, log, metrics, now, random } = means;
  try {
    const { value: outcome } = await database.transaction(
      (tx) => claimRecipients(tx, { ...due, now: now(), random }),
      { origin: { source: 'system' }, signal },
    );
    metrics.campaignClaims.inc({ outcome });
    return outcome;
  } catch (error) {
    if (signal?.aborted) return 'failed';
    metrics.campaignClaims.inc({ outcome: 'failed' });
    log.warn({ error, ...due }, 'a campaign could not be claimed for');
    await rest(database, due);
    return 'failed';
  }
}

async function rest(database: Database, { accountId, campaignId }: Due): Promise<void> {
  await database.query(sql`
    update public.campaigns
    set next_at = clock_timestamp() + make_interval(secs => ${FAULT_REST_SECONDS})
    where account_id = ${accountId} and id = ${campaignId} and status in ('scheduled', 'running')
      and next_at is not null`);
}
