import { beforeAll, describe, expect, test } from 'vitest';
import type { Queries } from '../../../platform/postgres.ts';
import { sql, type Sql } from '../../../platform/sql.ts';
import { claimRecipients, type ClaimOutcome } from '../../../server/commands/claim-recipients.ts';
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

describe('a claim', () => {
  test('opens the chat, writes the message into the outbox and says so in the recipient', async () => {
    const id = await world.running(2, HOUR);
    const now = Date.now();
    expect(await world.claim(id, now)).toBe('claimed');
    const [message] = await world.messagesOf(id);
    const [first, second] = await world.recipientsOf(id);
    expect(message).toMatchObject({
      status: 'pending',
      clientId: `campaign:${id}:${first?.['id']}`,
    });
    expect(message?.body).toMatch(/^Hello Person \d+$/);
    expect(first).toMatchObject({
      status: 'claimed',
      chat_id: String(message?.chatId),
      message_id: String(message?.id),
      error: null,
    });
    expect(second).toMatchObject({ status: 'pending', message_id: null, claimed_at: null });
    const [chat] = await world.api.owner.query(sql`
      select contact_id, device_id from public.chats where id = ${message?.chatId}`);
    expect(chat).toEqual({
      contact_id: first?.['contact_id'],
      device_id: String(world.deviceId),
    });
    const campaign = await world.read(id);
    expect(campaign).toMatchObject({ pending_count: 1, claimed_count: 1, status: 'running' });
    expect(Date.parse(String(campaign['next_at'])) - now).toBe(3_600_000);
    // Nothing before that.
    expect(await world.claim(id, now + 3_599_000)).toBe('busy');
    expect(await world.claim(id, now + 3_600_000)).toBe('claimed');
    expect((await world.read(id))['next_at']).toBeUndefined();
    expect(await world.sendAll(id)).toBe(2);
    expect(await world.read(id)).toMatchObject({ status: 'done', sent_count: 2 });
  });

  test('uses the chat there is, and sends a file with the text below it', async () => {
    const [contact = 0] = await world.people(1);
    const [chat] = await world.api.owner.query(sql`
      insert into public.chats (account_id, device_id, contact_id, jid)
      values (${world.one.accountId}, ${world.deviceId}, ${contact}, ${`${contact}@lid`}) returning id`);
    const [file] = await world.api.owner.query(sql`
      select id from public.media where account_id = ${world.one.accountId} and state = 'stored' limit 1`);
    const id = await world.draft({ ...NO_DELAY, media_id: Number(file?.['id']) });
    await world.add(id, [contact]);
    await world.ask('POST', `/api/campaigns/${id}/start`);
    expect(await world.claim(id)).toBe('claimed');
    const rows = await world.api.owner.query(sql`
      select chat_id, message_type, media_id, media ->> 'filename' as filename, body, actor_id
      from public.messages where client_id like ${`campaign:${id}:%`}`);
    expect(rows).toEqual([
      {
        chat_id: chat?.['id'],
        message_type: 'image',
        media_id: file?.['id'],
        filename: 'picture.png',
        body: expect.stringMatching(/^Hello Person/) as string,
        actor_id: String(world.one.userId),
      },
    ]);
  });

  test('of a scheduled campaign begins it at its time, not before', async () => {
    const id = await world.draft({ scheduled_at: '2099-01-01T10:00:00Z' });
    await world.add(id, await world.people(1));
    await world.ask('POST', `/api/campaigns/${id}/start`);
    expect(await world.claim(id)).toBe('busy');
    expect(await world.claim(id, Date.parse('2099-01-01T10:00:00Z'))).toBe('claimed');
    const { status, started_at: startedAt } = await world.read(id);
    expect({ status, startedAt }).toEqual({
      status: 'running',
      startedAt: '2099-01-01T10:00:00.000000Z',
    });
  });

  test.each(['paused', 'cancelled', 'draft', 'done'])(
    'of a %s campaign is none',
    async (status) => {
      const id = await world.running(1);
      await set(id, sql`status = ${status}`);
      await set(id, sql`next_at = '2020-01-01'`);
      expect(await world.claim(id)).toBe('busy');
      expect(await world.messagesOf(id)).toEqual([]);
    },
  );
});

describe('nobody is written to twice', () => {
  test('by claimers who work at once, and everybody is written to', async () => {
    const id = await world.running(24, NO_DELAY);
    const outcomes: ClaimOutcome[] = [];
    const worker = async (): Promise<void> => {
      for (let turn = 0; turn < 200; turn++) {
        const outcome = await world.claim(id);
        outcomes.push(outcome);
        if (outcome === 'busy') await world.sendAll(id);
        if ((await world.read(id))['status'] === 'done') return;
      }
    };
    await Promise.all([worker(), worker(), worker(), worker()]);
    expect(outcomes.filter((outcome) => outcome === 'claimed')).toHaveLength(24);
    const messages = await world.messagesOf(id);
    expect(messages).toHaveLength(24);
    expect(new Set(messages.map(({ chatId: chat }) => chat)).size).toBe(24);
    expect(new Set(await statusesOf(id))).toEqual(new Set(['sent']));
    expect(await world.read(id)).toMatchObject({ status: 'done', total_count: 24, sent_count: 24 });
  });

  test('by a claim that was interrupted, wherever that was', async () => {
    const id = await world.running(1, NO_DELAY);
    const options = {
      accountId: world.one.accountId,
      campaignId: id,
      now: Date.now(),
      random: () => 0,
    };
    let isInterrupted = true;
    let steps = 0;
    for (let fatal = 1; isInterrupted; fatal++) {
      let count = 0;
      const failing = (tx: Queries): Queries => ({
        query: async (statement) => {
          const rows = await tx.query(statement);
          count += 1;
          // After it was done: what it wrote must go.
          if (count === fatal) throw new Error('the process ends here');
          return rows;
        },
      });
      const interrupted = world.ingest.transaction((tx) => claimRecipients(failing(tx), options));
      isInterrupted = await interrupted.then(
        () => false,
        () => true,
      );
      if (!isInterrupted) break;
      steps = fatal;
      expect(await world.messagesOf(id), `after step ${fatal}`).toEqual([]);
      expect(await statusesOf(id)).toEqual(['pending']);
      expect(await world.read(id)).toMatchObject({ pending_count: 1, claimed_count: 0 });
    }
    // The campaign, the recipient, the chat, the message, the recipient again, the campaign again, and more.
    expect(steps).toBeGreaterThan(6);
    expect(await world.messagesOf(id)).toHaveLength(1);
    expect(await statusesOf(id)).toEqual(['claimed']);
  });

  test('by a claim that ended with its connection', async () => {
    const id = await world.running(1, NO_DELAY);
    const options = {
      accountId: world.one.accountId,
      campaignId: id,
      now: Date.now(),
      random: () => 0,
    };
    const killed = world.ingest.transaction(async (tx) => {
      await claimRecipients(tx, options);
      const [own] = await tx.query(sql`select pg_backend_pid() as pid`);
      await world.api.owner.query(sql`select pg_terminate_backend(${own?.['pid']}::integer)`);
      await tx.query(sql`select 1`);
    });
    await expect(killed).rejects.toMatchObject({ code: 'unavailable' });
    expect(await world.messagesOf(id)).toEqual([]);
    expect(await world.claim(id)).toBe('claimed');
    expect(await world.messagesOf(id)).toHaveLength(1);
  });

  test('though a recipient was set back: its message is found, and how far it is', async () => {
    const id = await world.running(2, NO_DELAY);
    await world.claim(id);
    await world.sendAll(id);
    const [first] = await world.recipientsOf(id);
    await world.api.owner.query(sql`
      update public.campaign_recipients set status = 'pending', chat_id = null, message_id = null
      where id = ${first?.['id']}`);
    expect(await world.claim(id)).toBe('claimed');
    expect(await world.messagesOf(id)).toHaveLength(1);
    expect(await statusesOf(id)).toEqual(['sent', 'pending']);
  });

  test('under two contacts: the second of one number is left out', async () => {
    const [a] = await world.people(1, { phone: '51955555555' });
    const [b] = await world.people(1, { phone: '51955555555' });
    const id = await world.draft(NO_DELAY);
    await world.add(id, [Number(a), Number(b)]);
    await world.ask('POST', `/api/campaigns/${id}/start`);
    expect([await world.claim(id), await world.claim(id)]).toEqual(['claimed', 'skipped']);
    expect(await world.recipientsOf(id)).toMatchObject([
      { status: 'claimed' },
      { status: 'skipped', error: 'Another contact of this campaign has the same number.' },
    ]);
    expect(await world.messagesOf(id)).toHaveLength(1);
  });
});
