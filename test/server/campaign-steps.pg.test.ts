import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { startCampaignWorld, type CampaignWorld } from './campaign-world.ts';

let world: CampaignWorld;

beforeAll(async () => {
  world = await startCampaignWorld();
});

const FUTURE = '2099-01-01T10:00:00Z';

const api = () => world.api;

describe('starting', () => {
  test('runs at once, or waits for its time', async () => {
    const now = await world.running(1);
    const started = await world.read(now);
    expect(started['status']).toBe('running');
    expect(started['started_at']).toBeDefined();
    expect(started['next_at']).toBeDefined();
    const later = await world.draft({ scheduled_at: FUTURE });
    await world.add(later, await world.people(1));
    const { body } = await world.step(later, 'start');
    expect(body.data).toMatchObject({
      status: 'scheduled',
      next_at: '2099-01-01T10:00:00.000000Z',
    });
    expect(body.data.started_at).toBeUndefined();
    const past = await world.running(1, { scheduled_at: '2020-01-01T10:00:00Z' });
    expect((await world.read(past))['status']).toBe('running');
  });

  test('waits for its hours', async () => {
    const id = await world.running(1, { active_from: '00:00', active_to: '00:01' });
    const { next_at: nextAt } = await world.read(id);
    // Lima's midnight.
    expect(nextAt).toMatch(/T05:00:(?!00\.000000Z$)|T05:00:00\.000000Z$/);
  });

  test.each([
    ['no_device', { device_id: null }, 'it has no device to send by: choose one first'],
    ['no_recipients', {}, 'it has nobody to write to: add recipients first'],
  ])('is refused for %s', async (reason, values, says) => {
    const id = await world.draft(values);
    if (reason !== 'no_recipients') await world.add(id, await world.people(1));
    const answer = await world.step(id, 'start');
    expect(answer.status).toBe(422);
    expect(answer.body.error).toBe(says);
    expect(answer.body.details.reason).toBe(reason);
  });

  test('is refused while somebody has no value for a place, with its name and how many', async () => {
    const id = await world.draft({ template: '{{name}} {{company}} {{code|none}} {{product}}' });
    const [a, b] = await world.people(2, { company: null });
    const [c] = await world.people(1, { name: '  ', company: 'Andes' });
    await world.addTo(id, {
      recipients: [
        { contact_id: a, variables: { product: ' ' } },
        { contact_id: b, variables: { product: 'Coffee', company: 'Own' } },
        { contact_id: c, variables: { product: 'Tea' } },
      ],
    });
    const answer = await world.step(id, 'start');
    expect(answer.status).toBe(422);
    expect(answer.body.details).toEqual({
      reason: 'missing_values',
      missing: { company: 1, name: 1, product: 1 },
    });
    expect(answer.body.error).toContain(
      'there is no value for {{company}} (1 recipient), {{name}} (1 recipient), {{product}} (1 recipient)',
    );
    await world.patch(id, { template: '{{name|friend}} {{company|you}} {{product|it}}' });
    expect((await world.step(id, 'start')).status).toBe(200);
  });

  test('is refused while its file is not stored', async () => {
    const [file] = await api().owner.query(sql`
      insert into public.media (account_id, object_key, mimetype, state)
      values (${world.one.accountId}, 'pending/file', 'image/png', 'pending') returning id`);
    const id = await world.draft({ media_id: Number(file?.['id']) });
    await world.add(id, await world.people(1));
    expect((await world.step(id, 'start')).body.details.reason).toBe('not_stored');
  });

  test('is for drafts, scheduled and paused campaigns', async () => {
    const id = await world.running(1);
    for (const status of ['running', 'done', 'cancelled']) {
      await world.setStatus(id, status);
      const answer = await world.step(id, 'start');
      expect(answer.status).toBe(409);
      expect(answer.body.error).toBe(`a campaign that is ${status} cannot be started`);
    }
    await world.setStatus(id, 'paused');
    expect((await world.step(id, 'start')).body.data.status).toBe('running');
  });
});

describe('pausing, cancelling and deleting', () => {
  test('a pause keeps everybody waiting, and starting goes on at the pace there was', async () => {
    const id = await world.running(2, { delay_seconds_min: 3_600, delay_seconds_max: 3_600 });
    await api().owner.query(
      sql`update public.campaigns set last_claimed_at = now(), batch_count = 1 where id = ${id}`,
    );
    const paused = await world.step(id, 'pause');
    expect(paused.body.data).toMatchObject({ status: 'paused', pending_count: 2 });
    expect(paused.body.data.next_at).toBeUndefined();
    expect((await world.step(id, 'pause')).status).toBe(409);
    await world.step(id, 'start');
    const [row] = await api().owner.query(sql`
      select next_at - last_claimed_at between interval '59 minutes' and interval '61 minutes' as keeps_pace
      from public.campaigns where id = ${id}`);
    expect(row).toEqual({ keeps_pace: 't' });
  });

  test('a cancelled campaign skips whoever waits, and nobody else', async () => {
    const id = await world.running(3);
    const [claimed, sent] = await world.recipientsByApi(id);
    await api().owner.query(sql`
      update public.campaign_recipients
      set status = case id when ${claimed?.id}::bigint then 'claimed' else 'sent' end
      where id in (${claimed?.id}, ${sent?.id})`);
    const { body } = await world.step(id, 'cancel');
    expect(body.data).toMatchObject({
      status: 'cancelled',
      pending_count: 0,
      claimed_count: 1,
      sent_count: 1,
      skipped_count: 1,
    });
    expect(body.data.finished_at).toBeDefined();
    expect(await world.recipientsByApi(id)).toMatchObject([
      { status: 'claimed' },
      { status: 'sent' },
      { status: 'skipped', error: 'The campaign was cancelled.' },
    ]);
    expect((await world.step(id, 'cancel')).status).toBe(409);
    expect((await world.step(id, 'start')).status).toBe(409);
  });

  test('a running campaign is not deleted; any other goes with its recipients', async () => {
    const id = await world.running(1);
    const refused = await world.ask('DELETE', `/api/campaigns/${id}`);
    expect(refused.status).toBe(409);
    expect(refused.body.error).toContain('pause it first');
    await world.step(id, 'pause');
    const seen = await world.ask('GET', `/api/campaigns/${id}`);
    expect((await world.ask('DELETE', `/api/campaigns/${id}`)).body).toEqual(seen.body);
    expect(await world.recipientsByApi(id)).toEqual([]);
  });
});

describe('progress', () => {
  test('counts each recipient once, and says what it waits for and when it will be over, in one statement', async () => {
    const id = await world.running(5, { delay_seconds_min: 60, delay_seconds_max: 60 });
    const rows = await world.recipientsByApi(id);
    const states = ['delivered', 'read', 'skipped'];
    for (const [index, status] of states.entries())
      await api().owner.query(sql`
        update public.campaign_recipients
        set status = ${status}, claimed_at = now() - ${index} * interval '31 minutes' where id = ${rows[index]?.id}`);
    api().statements.length = 0;
    const { body } = await world.ask('GET', `/api/campaigns/${id}/progress`);
    expect(api().statements.filter((text) => text.includes('campaign'))).toHaveLength(1);
    expect(body.data).toMatchObject({
      id,
      status: 'running',
      total: 5,
      by_status: { pending: 2, claimed: 0, sent: 0, delivered: 1, read: 1, failed: 0, skipped: 1 },
      settled: 3,
      claimed_last_hour: 2,
    });
    expect(body.data.waits_for).toBeUndefined();
    // Forty-nine minutes and a pause of ten, by fifty.
    expect(Date.parse(body.data.estimated_end_at) - Date.parse(body.data.next_at)).toBe(70_800);
    await api().owner.query(
      sql`update public.devices set status = 'disconnected' where id = ${world.deviceId}`,
    );
    const away = await world.ask('GET', `/api/campaigns/${id}/progress`);
    expect(away.body.data.waits_for).toBe('device');
    await api().owner.query(
      sql`update public.devices set status = 'connected' where id = ${world.deviceId}`,
    );
    await world.step(id, 'pause');
    const paused = await world.ask('GET', `/api/campaigns/${id}/progress`);
    expect(paused.body.data.estimated_end_at).toBeUndefined();
  });
});
