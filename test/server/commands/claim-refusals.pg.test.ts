import { beforeAll, describe, expect, test } from 'vitest';
import { sql, type Sql } from '../../../platform/sql.ts';
import { claimRecipients, IN_FLIGHT_MAX } from '../../../server/commands/claim-recipients.ts';
import { HOUR, NO_DELAY, startClaimWorld, type ClaimWorld } from './claim-world.ts';

let world: ClaimWorld;

beforeAll(async () => {
  world = await startClaimWorld();
});

async function statusesOf(id: number): Promise<(string | null | undefined)[]> {
  return (await world.recipientsOf(id)).map((row) => row['status']);
}

const set = (id: number, change: Sql) =>
  world.api.owner.query(sql`update public.campaigns set ${change} where id = ${id}`);

describe('who cannot be written to is left out, at no cost to the pace', () => {
  test.each([
    ['do_not_contact = true', 'The contact does not want to be contacted.'],
    ['is_group = true', 'It is a group.'],
    ['phone = null', 'The contact has no phone to write to.'],
    ['name = null', 'There is no name of this contact.'],
  ])('once %s', async (change, error) => {
    const id = await world.running(2, HOUR);
    const [first] = await world.recipientsOf(id);
    const contact = first?.['contact_id'];
    const changes: Readonly<Record<string, ReturnType<typeof sql>>> = {
      'do_not_contact = true': sql`update public.contacts set do_not_contact = true where id = ${contact}`,
      'is_group = true': sql`update public.contacts set is_group = true where id = ${contact}`,
      'phone = null': sql`update public.contacts set phone = null where id = ${contact}`,
      'name = null': sql`update public.contacts set name = null where id = ${contact}`,
    };
    await world.api.owner.query(changes[change] ?? sql`select 1`);
    expect(await world.claim(id)).toBe('skipped');
    expect((await world.recipientsOf(id))[0]).toMatchObject({
      status: 'skipped',
      error,
      chat_id: null,
    });
    expect(await world.messagesOf(id)).toEqual([]);
    expect(await world.claim(id)).toBe('claimed');
  });

  test('once their chat is with somebody who does not want to be contacted', async () => {
    const [barred] = await world.people(1, { do_not_contact: true, phone: '51955550001' });
    const [other] = await world.people(1, { phone: '51955550001' });
    await world.api.owner.query(sql`
      insert into public.chats (account_id, device_id, contact_id, jid)
      values (${world.one.accountId}, ${world.deviceId}, ${barred}, '51955550001@s.whatsapp.net')`);
    const id = await world.draft();
    await world.add(id, [Number(other)]);
    await world.ask('POST', `/api/campaigns/${id}/start`);
    expect(await world.claim(id)).toBe('skipped');
    expect(await world.read(id)).toMatchObject({ status: 'done', skipped_count: 1 });
  });

  test('when their text would be too long', async () => {
    const id = await world.draft({ template: `{{name}}${'x'.repeat(4_080)}` });
    await world.add(id, await world.people(1, { name: 'A name that is too long for it' }));
    await world.ask('POST', `/api/campaigns/${id}/start`);
    expect(await world.claim(id)).toBe('skipped');
  });

  test('when the database will never take their message; the chat it opened is not there either', async () => {
    await world.api.owner.query(sql`
      create function public.refuse_message() returns trigger language plpgsql as $$
      begin
        raise exception 'never' using errcode = 'P0001';
      end $$`);
    await world.api.owner.query(sql`
      create trigger refuse before insert on public.messages for each row when (new.body = 'Hello Refused')
      execute function public.refuse_message()`);
    const id = await world.draft(NO_DELAY);
    await world.add(id, await world.people(1, { name: 'Refused' }));
    await world.add(id, await world.people(1));
    await world.ask('POST', `/api/campaigns/${id}/start`);
    expect([await world.claim(id), await world.claim(id)]).toEqual(['skipped', 'claimed']);
    const [refused] = await world.recipientsOf(id);
    expect(refused).toMatchObject({ error: 'The message could not be written.' });
    const chats = await world.api.owner.query(
      sql`select from public.chats where contact_id = ${refused?.['contact_id']}`,
    );
    expect(chats).toEqual([]);
  });
});

describe('the pace', () => {
  test('is kept over batches and days', async () => {
    const id = await world.running(4, {
      ...NO_DELAY,
      batch_size: 2,
      batch_pause_seconds: 600,
      daily_limit: 3,
    });
    await set(id, sql`next_at = '2030-03-10T15:00:00Z'`);
    const noon = Date.parse('2030-03-10T15:00:00Z');
    expect([await world.claim(id, noon), await world.claim(id, noon)]).toEqual([
      'claimed',
      'claimed',
    ]);
    expect(await world.claim(id, noon)).toBe('busy');
    expect((await world.read(id))['next_at']).toBe('2030-03-10T15:10:00.000000Z');
    expect(await world.claim(id, noon + 600_000)).toBe('claimed');
    // The day is full; Lima's next one begins at 05:00.
    expect((await world.read(id))['next_at']).toBe('2030-03-11T05:00:00.000000Z');
    expect(await world.claim(id, Date.parse('2030-03-11T05:00:00Z'))).toBe('claimed');
  });

  test('minds its hours also when the worker comes late', async () => {
    const id = await world.running(1, { ...NO_DELAY, active_from: '09:00', active_to: '18:00' });
    await set(id, sql`next_at = '2030-03-10T22:59:00Z'`);
    expect(await world.claim(id, Date.parse('2030-03-10T23:30:00Z'))).toBe('waiting');
    expect((await world.read(id))['next_at']).toBe('2030-03-11T14:00:00.000000Z');
    expect(await world.claim(id, Date.parse('2030-03-11T14:00:00Z'))).toBe('claimed');
  });

  test('does not pile up messages while the device is away or does not send', async () => {
    const id = await world.running(IN_FLIGHT_MAX + 2, NO_DELAY);
    await world.api.owner.query(
      sql`update public.devices set status = 'connecting' where id = ${world.deviceId}`,
    );
    expect(await world.claim(id)).toBe('busy');
    await world.api.owner.query(
      sql`update public.devices set status = 'connected' where id = ${world.deviceId}`,
    );
    for (let turn = 0; turn < IN_FLIGHT_MAX; turn++) expect(await world.claim(id)).toBe('claimed');
    expect(await world.claim(id)).toBe('busy');
    await world.sendAll(id);
    expect(await world.claim(id)).toBe('claimed');
  });
});

describe('what others hold', () => {
  test('a campaign is passed by, and a pause waits for the claim under way', async () => {
    const id = await world.running(2, NO_DELAY);
    const options = {
      accountId: world.one.accountId,
      campaignId: id,
      now: Date.now(),
      random: () => 0,
    };
    let pausing: Promise<unknown> | undefined;
    await world.ingest.transaction(async (tx) => {
      expect(await claimRecipients(tx, options)).toBe('claimed');
      expect(await world.claim(id)).toBe('busy');
      pausing = world.ask('POST', `/api/campaigns/${id}/pause`);
    });
    expect(await pausing).toMatchObject({ status: 200 });
    expect(await world.claim(id)).toBe('busy');
    expect(await world.messagesOf(id)).toHaveLength(1);
  });

  test('a contact that is being merged is passed by; the next one is taken', async () => {
    const id = await world.running(2, NO_DELAY);
    const [first] = await world.recipientsOf(id);
    await world.api.owner.transaction(async (tx) => {
      await tx.query(
        sql`select from public.contacts where id = ${first?.['contact_id']} for update`,
      );
      expect(await world.claim(id)).toBe('claimed');
      expect(await statusesOf(id)).toEqual(['pending', 'claimed']);
      expect(await world.claim(id)).toBe('busy');
    });
    expect(await world.claim(id)).toBe('claimed');
  });
});

describe('a campaign that cannot go on', () => {
  test('by itself is paused, and says why', async () => {
    const id = await world.running(1);
    await set(id, sql`device_id = null`);
    expect(await world.claim(id)).toBe('paused');
    expect(await world.read(id)).toMatchObject({
      status: 'paused',
      status_reason: 'It has no device any more: choose one and start it again.',
    });
    const broken = await world.running(1);
    await world.api.owner.query(
      sql`update public.campaigns set template = 'Hello {{' where id = ${broken}`,
    );
    expect(await world.claim(broken)).toBe('paused');
  });

  test('because nobody waits is done, however it came to that', async () => {
    const id = await world.draft();
    await set(id, sql`status = 'running'`);
    await set(id, sql`next_at = '2020-01-01'`);
    expect(await world.claim(id)).toBe('done');
    expect(await world.read(id)).toMatchObject({ status: 'done' });
  });
});
