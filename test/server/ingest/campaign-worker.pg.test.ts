import { beforeAll, expect, test } from 'vitest';
import { createLog } from '../../../platform/log.ts';
import { sql } from '../../../platform/sql.ts';
import {
  claimDue,
  startCampaigns,
  sweepCancelled,
} from '../../../server/ingest/campaign-worker.ts';
import { eventually } from '../../support/eventually.ts';
import { HOUR, startClaimWorld, type ClaimWorld } from '../commands/claim-world.ts';

let world: ClaimWorld;
const log = createLog({ component: 'ingest', level: 'silent' });

beforeAll(async () => {
  world = await startClaimWorld();
});

const means = () => ({
  database: world.ingest,
  log,
  metrics: world.api.metrics,
  now: Date.now,
  random: Math.random,
});

/** Messages of campaigns, in the order in which they were written, by account. */
async function accountsOfMessages(): Promise<number[]> {
  const rows = await world.api.owner.query(
    sql`select account_id from public.messages where client_id like 'campaign:%' order by id`,
  );
  return rows.map((row) => Number(row['account_id']));
}

/** Of the other account, ready to be claimed for. */
async function runningOfTwo(): Promise<void> {
  const { accountId, deviceIds, contactIds } = world.two;
  const [campaign] = await world.api.owner.query(sql`
    insert into public.campaigns (account_id, name, device_id, template, status, next_at)
    values (${accountId}, 'Theirs', ${deviceIds[0]}, 'Hello', 'running', now()) returning id`);
  await world.api.owner.query(sql`
    insert into public.campaign_recipients (account_id, campaign_id, contact_id)
    values (${accountId}, ${campaign?.['id']}, ${contactIds[0]}), (${accountId}, ${campaign?.['id']}, ${contactIds[1]})`);
}

test('claims one message of every due campaign, and gives every account its turn before any has a second', async () => {
  for (let campaign = 0; campaign < 3; campaign++) await world.running(2, HOUR);
  await runningOfTwo();
  expect(await claimDue(means())).toBe(4);
  const [first, second, ...others] = await accountsOfMessages();
  expect(new Set([first, second])).toEqual(new Set([world.one.accountId, world.two.accountId]));
  expect(others).toEqual([world.one.accountId, world.one.accountId]);
  // Their delays are not over.
  expect(await claimDue(means())).toBe(0);
});

test('leaves out whoever cannot be written to and goes on in the same round', async () => {
  const id = await world.running(3, HOUR);
  await world.api.owner.query(sql`
    update public.contacts set do_not_contact = true
    where id in (select contact_id from public.campaign_recipients where campaign_id = ${id} order by id limit 2)`);
  expect(await claimDue(means())).toBe(1);
  expect(await world.read(id)).toMatchObject({ skipped_count: 2, claimed_count: 1 });
});

test('several workers claim each message once', async () => {
  const before = await accountsOfMessages();
  for (let campaign = 0; campaign < 4; campaign++) await world.running(2, HOUR);
  const claimed = await Promise.all([claimDue(means()), claimDue(means()), claimDue(means())]);
  expect(claimed.reduce((sum, count) => sum + count, 0)).toBe(4);
  expect(await accountsOfMessages()).toHaveLength(before.length + 4);
});

test('a campaign with a fault rests; the others go on', async () => {
  await world.api.owner.query(sql`
    create function public.fail_message() returns trigger language plpgsql as $$
    begin
      perform 1 / 0;
      return new;
    end $$`);
  await world.api.owner.query(sql`
    create trigger fail before insert on public.messages for each row when (new.body = 'Fault')
    execute function public.fail_message()`);
  const broken = await world.running(1, { ...HOUR, template: 'Fault' });
  const good = await world.running(1, HOUR);
  expect(await claimDue(means())).toBe(1);
  expect(await world.read(good)).toMatchObject({ claimed_count: 1 });
  expect(await world.read(broken)).toMatchObject({ status: 'running', pending_count: 1 });
  const [row] = await world.api.owner.query(sql`
    select next_at > now() + interval '30 seconds' as rests from public.campaigns where id = ${broken}`);
  expect(row).toEqual({ rests: 't' });
  await world.api.owner.query(sql`drop trigger fail on public.messages`);
});

test('an account that is not active is left alone', async () => {
  const id = await world.running(1, HOUR);
  const setActive = (isActive: boolean) =>
    world.api.owner.query(
      sql`update public.accounts set is_active = ${isActive} where id = ${world.one.accountId}`,
    );
  await setActive(false);
  expect(await claimDue(means())).toBe(0);
  await setActive(true);
  expect(await claimDue(means())).toBe(1);
  expect(await world.read(id)).toMatchObject({ claimed_count: 1 });
});

test('whoever waits for a cancelled campaign is left out, also who came while it was cancelled', async () => {
  const id = await world.running(3, HOUR);
  expect(await sweepCancelled(means())).toBe(0);
  await world.api.owner.query(
    sql`update public.campaigns set status = 'cancelled' where id = ${id}`,
  );
  expect(await sweepCancelled(means())).toBe(3);
  expect(await world.read(id)).toMatchObject({ pending_count: 0, skipped_count: 3 });
  expect(await sweepCancelled(means())).toBe(0);
});

test('runs by itself until it is stopped', async () => {
  const id = await world.running(1, HOUR);
  const running = startCampaigns(means());
  await eventually(async () => expect(await world.read(id)).toMatchObject({ claimed_count: 1 }), {
    says: 'the message is claimed',
  });
  const cancelled = await world.draft();
  await world.add(cancelled, await world.people(2));
  await world.api.owner.query(
    sql`update public.campaigns set status = 'cancelled' where id = ${cancelled}`,
  );
  await eventually(
    async () => expect(await world.read(cancelled)).toMatchObject({ skipped_count: 2 }),
    { says: 'its recipients are left out' },
  );
  await running.stop();
});
