import { beforeAll, expect, it, onTestFinished } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { sql } from '../../platform/sql.ts';
import { startCampaigns } from '../../server/ingest/campaign-worker.ts';
import { startInbound } from '../../server/ingest/whatsapp/inbound.ts';
import { SEND_REFUSALS } from '../../server/whatsapp/judge-send.ts';
import { eventually } from '../support/eventually.ts';
import { openOutboxWorld, type OutboxWorld } from './whatsapp-outbox-world.ts';

let world: OutboxWorld;

beforeAll(async () => {
  world = await openOutboxWorld();
});

it('a campaign flows: everybody gets it once and its counts say how far it is, also when the worker is killed on the way', async () => {
  const stage = await world.stage();
  const { accountId, deviceId, fake } = stage;
  const people = Array.from({ length: 12 }, (_, n) =>
    fake.addPerson({
      phone: String(51_977_000_000 + n),
      name: `Recipient ${n}`,
      habits: { deliveredAfterMs: 0, readAfterMs: 0 },
    }),
  );
  const nobody = { name: 'Nobody', phoneJid: '51911111111@s.whatsapp.net' };
  for (const person of [...people, nobody]) await stage.chatWith(person, { isNew: true });
  const [campaign] = await world.owner.query(sql`
    insert into public.campaigns (
      account_id, name, device_id, template, status, next_at, delay_seconds_min, delay_seconds_max, batch_pause_seconds
    )
    values (${accountId}, 'Flows', ${deviceId}, 'Hello {{name}}', 'running', now(), 0, 0, 0)
    returning id`);
  const id = Number(campaign?.['id']);
  await world.owner.query(sql`
    insert into public.campaign_recipients (account_id, campaign_id, contact_id)
    select ${accountId}, ${id}, id from public.contacts
    where account_id = ${accountId} and (name like 'Recipient %' or name = 'Nobody')`);
  const means = {
    database: world.owner,
    log: createLog({ component: 'ingest', level: 'silent' }),
    metrics: createMetrics('test'),
    now: Date.now,
    random: Math.random,
  };
  const campaigns = startCampaigns(means);
  onTestFinished(() => campaigns.stop());
  const listen = async () => {
    const worker = await stage.work({ newChatsPerDay: 100 });
    const inbound = startInbound(worker.context, { me: () => worker.linked.me });
    inbound.watch(worker.linked.socket);
    onTestFinished(() => inbound.stop());
    return worker;
  };
  const counts = async () => {
    const [row] = await world.owner.query(sql`
      select status, sent_count, read_count, failed_count from public.campaigns where id = ${id}`);
    return row ?? {};
  };
  const first = await listen();
  await eventually(async () => Number((await counts())['sent_count']) >= 4, { timeoutMs: 30_000 });
  await first.kill();
  const [begun] = await world.owner.query(sql`
    select count(*) as n from public.messages
    where account_id = ${accountId} and client_id is not null and status <> 'pending'`);
  const claimedByFirst = Number(begun?.['n']);
  await listen();
  await eventually(
    async () => {
      const now = await counts();
      // A receipt that came to the one that was killed is a tick that is missing, and no more.
      const isRead = Number(now['read_count']) >= 12 - claimedByFirst;
      if (now['status'] !== 'done' || !isRead) throw new Error(JSON.stringify(now));
      return true;
    },
    { timeoutMs: 40_000, says: 'it is done' },
  );
  expect(await counts()).toMatchObject({ status: 'done', sent_count: '12', failed_count: '1' });
  const failed = await world.owner.query(sql`
    select error from public.campaign_recipients where campaign_id = ${id} and status = 'failed'`);
  expect(failed).toEqual([{ error: SEND_REFUSALS.not_on_whatsapp }]);
  for (const person of people) {
    const texts = person.received().map(({ message }) => message.extendedTextMessage?.text);
    expect(texts).toEqual([`Hello ${person.name}`]);
  }
});
