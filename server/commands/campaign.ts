import { campaigns, type CAMPAIGN_STATUSES } from '../../domain/entities/campaigns.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Pacing, PacingState } from '../../domain/pacing.ts';
import { neededNames, parseTemplate, type Template } from '../../domain/template.ts';
import { inReach, type Reach } from '../../platform/entity-sql/scope.ts';
import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

export type CampaignStatus = (typeof CAMPAIGN_STATUSES)[number];

/** What the commands on campaigns look at. */
export type Campaign = {
  readonly id: number;
  readonly status: CampaignStatus;
  readonly deviceId: number | undefined;
  readonly mediaId: number | undefined;
  readonly template: string;
  readonly scheduledAt: number | undefined;
  readonly nextAt: number | undefined;
  readonly createdBy: number | undefined;
  readonly pendingCount: number;
  readonly claimedCount: number;
  readonly totalCount: number;
  readonly pacing: Pacing;
  readonly state: PacingState;
};

/** Of `campaign` and its `account`, for `campaignOf`. */
export const CAMPAIGN_COLUMNS = sql`
  campaign.id, campaign.status, campaign.device_id, campaign.media_id, campaign.template, campaign.created_by,
  campaign.total_count, campaign.pending_count, campaign.claimed_count,
  campaign.delay_seconds_min, campaign.delay_seconds_max, campaign.batch_size, campaign.batch_pause_seconds,
  campaign.daily_limit, campaign.active_from, campaign.active_to, campaign.batch_count, campaign.day,
  campaign.day_count, account.timezone,
  extract(epoch from campaign.scheduled_at) * 1000 as scheduled_ms,
  extract(epoch from campaign.next_at) * 1000 as next_ms,
  extract(epoch from campaign.last_claimed_at) * 1000 as last_claimed_ms`;

export function campaignOf(row: TextRow): Campaign {
  const optional = (name: string): number | undefined =>
    row[name] === null || row[name] === undefined ? undefined : Number(row[name]);
  return {
    id: Number(row['id']),
    status: row['status'] as CampaignStatus,
    deviceId: optional('device_id'),
    mediaId: optional('media_id'),
    template: row['template'] ?? '',
    scheduledAt: optional('scheduled_ms'),
    nextAt: optional('next_ms'),
    createdBy: optional('created_by'),
    totalCount: Number(row['total_count']),
    pendingCount: Number(row['pending_count']),
    claimedCount: Number(row['claimed_count']),
    pacing: {
      delaySecondsMin: Number(row['delay_seconds_min']),
      delaySecondsMax: Number(row['delay_seconds_max']),
      batchSize: Number(row['batch_size']),
      batchPauseSeconds: Number(row['batch_pause_seconds']),
      dailyLimit: Number(row['daily_limit']),
      activeFrom: row['active_from'] ?? undefined,
      activeTo: row['active_to'] ?? undefined,
      timeZone: row['timezone'] ?? 'UTC',
    },
    state: {
      lastAt: optional('last_claimed_ms'),
      batchCount: Number(row['batch_count']),
      day: row['day'] ?? undefined,
      dayCount: Number(row['day_count']),
    },
  };
}

/**
 * The campaign, held against claims and against everybody else who changes it, until the transaction ends.
 * @throws ClarinError not_found; conflict, saying what it `cannot` be, unless it is in one of these states.
 */
export async function lockCampaign(
  tx: Queries,
  { id, ...reach }: Reach & { id: number },
  { states, cannot }: { states: readonly CampaignStatus[]; cannot: string },
): Promise<Campaign> {
  const [row] = await tx.query(sql`
    select ${CAMPAIGN_COLUMNS}
    from public.campaigns as campaign
    join public.accounts as account on account.id = campaign.account_id
    where ${inReach(campaigns, 'campaign', reach)} and campaign.id = ${id}
    for no key update of campaign`);
  if (!row) throw new ClarinError('not_found', 'there is no such row');
  const campaign = campaignOf(row);
  assertState(campaign.status, { states, cannot });
  return campaign;
}

/** @throws ClarinError conflict. */
export function assertState(
  status: CampaignStatus,
  { states, cannot }: { states: readonly CampaignStatus[]; cannot: string },
): void {
  if (states.includes(status)) return;
  throw new ClarinError('conflict', `a campaign that is ${status} cannot be ${cannot}`, {
    details: { status },
  });
}

/** @throws ClarinError unprocessable, with what keeps it from sending; `details` name it for programs. */
export async function assertSendable(
  tx: Queries,
  accountId: number,
  campaign: Campaign,
): Promise<void> {
  const refuse = (reason: string, says: string, details: object = {}): never => {
    throw new ClarinError('unprocessable', says, { details: { reason, ...details } });
  };
  if (campaign.deviceId === undefined)
    refuse('no_device', 'it has no device to send by: choose one first');
  if (campaign.pendingCount + campaign.claimedCount === 0)
    refuse('no_recipients', 'it has nobody to write to: add recipients first');
  const parsed = parseTemplate(campaign.template);
  if (!parsed.ok) return refuse('template', `its template ${parsed.says}`);
  if (campaign.mediaId !== undefined && !(await isStored(tx, accountId, campaign.mediaId)))
    refuse('not_stored', 'its file is not stored yet, or failed to be');
  const lacking = await countLacking(tx, { accountId, id: campaign.id }, parsed.template);
  const names = Object.entries(lacking).map(
    ([name, count]) => `{{${name}}} (${count} recipient${count === 1 ? '' : 's'})`,
  );
  if (names.length === 0) return;
  const says =
    `there is no value for ${names.join(', ')}: ` +
    'give them one, take them out, or say what to write instead: {{name|friend}}';
  refuse('missing_values', says, { missing: lacking });
}

async function isStored(tx: Queries, accountId: number, mediaId: number): Promise<boolean> {
  const rows = await tx.query(sql`
    select from public.media where account_id = ${accountId} and id = ${mediaId} and state = 'stored'`);
  return rows.length > 0;
}

/** By name, how many of those who wait have no value for it; only where somebody does not. */
async function countLacking(
  tx: Queries,
  { accountId, id }: { accountId: number; id: number },
  template: Template,
): Promise<Record<string, number>> {
  const names = neededNames(template);
  if (names.length === 0) return {};
  const rows = await tx.query(sql`
    select wanted.name, count(*) as lacking
    from (
      select ${RECIPIENT_VALUES} as known
      from public.campaign_recipients as recipient
      join public.contacts as contact
        on contact.account_id = recipient.account_id and contact.id = recipient.contact_id
      where recipient.account_id = ${accountId} and recipient.campaign_id = ${id} and recipient.status = 'pending'
      offset 0
    ) as recipient
    cross join unnest(${names}::text[]) as wanted (name)
    where coalesce(btrim(recipient.known ->> wanted.name), '') = ''
    group by wanted.name
    order by wanted.name`);
  return Object.fromEntries(rows.map((row) => [row['name'] ?? '', Number(row['lacking'])]));
}

/**
 * What a template may say of a `contact`, by name; a `recipient`'s own variables come first. A number is no name: who has
 * none is not called by it.
 */
export const RECIPIENT_VALUES = sql`
  jsonb_strip_nulls(jsonb_build_object(
    'name', coalesce(
      nullif(btrim(contact.custom_name), ''), nullif(btrim(contact.name), ''), nullif(btrim(contact.push_name), '')
    ),
    'phone', contact.phone,
    'email', contact.email,
    'company', contact.company
  )) || coalesce(recipient.variables, '{}')`;

/** Why nothing may be sent to a `contact`; null: it may. */
export const CONTACT_REFUSAL = sql`
  case
    when contact.is_group then 'group'
    when contact.do_not_contact then 'do_not_contact'
    when coalesce(contact.jid, contact.phone, contact.lid) is null then 'no_address'
  end`;

export type ContactRefusal = 'group' | 'do_not_contact' | 'no_address';
