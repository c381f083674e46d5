import { afterSend, isAllowedAt, nextSendAt } from '../../domain/pacing.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import {
  CAMPAIGN_COLUMNS,
  campaignOf,
  CONTACT_REFUSAL,
  RECIPIENT_VALUES,
  type Campaign,
  type ContactRefusal,
} from './campaign.ts';
import { compose, sendTo, type Recipient } from './campaign-message.ts';

/**
 * The next recipient of one campaign is claimed and its message written, in one transaction: there is no moment in
 * between, so that whoever crashes has done both or neither.
 *
 * - The campaign is held while one claims; another claimer passes by. Paused or cancelled is what the row says then.
 * - The message's client_id is made of campaign and recipient, and unique: the same recipient has one message, ever. Its
 *   chat is unique among the campaign's recipients: two contacts of one number are written to once.
 * - Recipients and contacts that somebody else holds (a merge) are passed by, never waited for.
 * - Claims come before sending. While the device is away, or as many as IN_FLIGHT_MAX wait for it, nothing is
 *   claimed: otherwise they would all be sent at once when it is back, at no pace.
 */
export type ClaimOutcome =
  /** One message more is in the outbox. */
  | 'claimed'
  /** A recipient cannot be written to and was left out; the pace has not moved. */
  | 'skipped'
  /** Not now: its hours, its limit of the day, or messages that are not sent yet. */
  | 'waiting'
  /** It cannot go on by itself, and says why. */
  | 'paused'
  | 'done'
  /** It is not due, or another claimer has it or its recipients. */
  | 'busy';

/** Messages of a campaign that may wait to be sent. */
export const IN_FLIGHT_MAX = 5;

type Options = {
  readonly accountId: number;
  readonly campaignId: number;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly random: () => number;
};

/** That a `campaign` of an `account` could be claimed for through its `device`. */
export const isDue = (now: number) => sql`
  campaign.status in ('scheduled', 'running') and campaign.next_at <= ${iso(now)}::timestamptz and account.is_active
  and (campaign.device_id is null or device.status = 'connected') and campaign.claimed_count < ${IN_FLIGHT_MAX}`;

/** @throws ClarinError timeout, unavailable, internal: nothing was written. */
export async function claimRecipients(tx: Queries, options: Options): Promise<ClaimOutcome> {
  const { accountId, campaignId, now, random } = options;
  const [row] = await tx.query(sql`
    select ${CAMPAIGN_COLUMNS}
    from public.campaigns as campaign
    join public.accounts as account on account.id = campaign.account_id
    left join public.devices as device on device.account_id = campaign.account_id and device.id = campaign.device_id
    where campaign.account_id = ${accountId} and campaign.id = ${campaignId} and ${isDue(now)}
    for no key update of campaign skip locked`);
  if (!row) return 'busy';
  const campaign = campaignOf(row);
  if (campaign.status === 'scheduled') await begin(tx, options);
  const { deviceId, pacing, state } = campaign;
  if (deviceId === undefined)
    return pause(tx, options, 'It has no device any more: choose one and start it again.');
  if (!isAllowedAt(pacing, state, now)) {
    const nextAt = nextSendAt(pacing, { ...state, lastAt: undefined }, now, random);
    await change(tx, options, sql`next_at = ${iso(nextAt)}::timestamptz`);
    return 'waiting';
  }
  const recipient = await takeRecipient(tx, options);
  if (!recipient) return settle(tx, options, campaign);
  if (recipient.refusal) return skip(tx, options, recipient, REFUSALS[recipient.refusal]);
  const message = await compose(tx, { accountId, campaign, recipient });
  if ('pausedBecause' in message) return pause(tx, options, message.pausedBecause);
  if ('skippedBecause' in message) return skip(tx, options, recipient, message.skippedBecause);
  const to = { accountId, campaign, recipient, deviceId, now };
  const refusal = await sendTo(tx, to, message);
  if (refusal !== undefined) return skip(tx, options, recipient, refusal);
  await moveOn(tx, options, campaign);
  return 'claimed';
}

const REFUSALS: Readonly<Record<ContactRefusal, string>> = {
  group: 'It is a group.',
  do_not_contact: 'The contact does not want to be contacted.',
  no_address: 'The contact has no phone to write to.',
};

/** The next who waits and is held by nobody, in the order in which they were added. */
async function takeRecipient(
  tx: Queries,
  { accountId, campaignId }: Options,
): Promise<Recipient | undefined> {
  const [row] = await tx.query(sql`
    select recipient.id, recipient.contact_id, ${CONTACT_REFUSAL} as refusal, ${RECIPIENT_VALUES} as known
    from public.campaign_recipients as recipient
    join public.contacts as contact
      on contact.account_id = recipient.account_id and contact.id = recipient.contact_id
    where recipient.account_id = ${accountId} and recipient.campaign_id = ${campaignId}
      and recipient.status = 'pending'
    order by recipient.id
    limit 1
    for no key update of recipient skip locked
    for key share of contact skip locked`);
  if (!row) return undefined;
  return {
    id: Number(row['id']),
    contactId: Number(row['contact_id']),
    refusal: (row['refusal'] ?? undefined) as ContactRefusal | undefined,
    values: JSON.parse(row['known'] ?? '{}') as Record<string, unknown>,
  };
}

function begin(tx: Queries, options: Options): Promise<void> {
  const { now } = options;
  return change(tx, options, sql`status = 'running', started_at = ${iso(now)}::timestamptz`);
}

async function pause(tx: Queries, options: Options, reason: string): Promise<ClaimOutcome> {
  await change(tx, options, sql`status = 'paused', status_reason = ${reason}, next_at = null`);
  return 'paused';
}

async function skip(
  tx: Queries,
  { accountId }: Options,
  { id }: Recipient,
  reason: string,
): Promise<ClaimOutcome> {
  await tx.query(sql`
    update public.campaign_recipients
    set status = 'skipped', error = ${reason}
    where account_id = ${accountId} and id = ${id}`);
  return 'skipped';
}

/** Nobody can be taken: others hold them, or nobody waits. Then it is not looked at again until somebody is added. */
async function settle(
  tx: Queries,
  options: Options,
  { pendingCount, claimedCount }: Campaign,
): Promise<ClaimOutcome> {
  if (pendingCount > 0) return 'busy';
  if (claimedCount > 0) {
    await change(tx, options, sql`next_at = null`);
    return 'waiting';
  }
  const at = iso(options.now);
  await change(tx, options, sql`status = 'done', next_at = null, finished_at = ${at}::timestamptz`);
  return 'done';
}

async function moveOn(
  tx: Queries,
  options: Options,
  { pacing, state, pendingCount }: Campaign,
): Promise<void> {
  const { now, random } = options;
  const after = afterSend(pacing, state, now);
  const { batchCount, day, dayCount } = after;
  const nextAt = pendingCount > 1 ? iso(nextSendAt(pacing, after, now, random)) : null;
  await change(
    tx,
    options,
    sql`
      next_at = ${nextAt}::timestamptz, last_claimed_at = ${iso(now)}::timestamptz,
      batch_count = ${batchCount}, day = ${day ?? null}::date, day_count = ${dayCount}`,
  );
}

async function change(
  tx: Queries,
  { accountId, campaignId }: Options,
  assignments: Sql,
): Promise<void> {
  await tx.query(sql`
    update public.campaigns set ${assignments} where account_id = ${accountId} and id = ${campaignId}`);
}

function iso(instant: number): string {
  return new Date(instant).toISOString();
}
