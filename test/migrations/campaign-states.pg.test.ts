import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { openCampaignWorld, type CampaignWorld } from './campaign-world.ts';

let world: CampaignWorld;

beforeAll(async () => {
  world = await openCampaignWorld();
});

afterAll(() => world.close());

describe('a running campaign', () => {
  const state = (id: number) =>
    world.one(sql`
      select status, next_at is not null as has_next, finished_at is not null as is_finished
      from public.campaigns where id = ${id}`);

  it('is done when its last recipient is settled, whoever settles it', async () => {
    const id = await world.newCampaign();
    const recipients = await world.newRecipients(id, await world.newContacts(3));
    await world.setStatus([recipients[0]], 'sent');
    await world.setStatus([recipients[1]], 'claimed');
    await world.db.query(sql`delete from public.campaign_recipients where id = ${recipients[2]}`);
    expect(await state(id)).toMatchObject({ status: 'running', is_finished: 'f' });
    await world.setStatus([recipients[1]], 'failed');
    expect(await state(id)).toEqual({ status: 'done', has_next: 'f', is_finished: 't' });
    // What comes after that changes nothing of it.
    await world.setStatus([recipients[0]], 'read');
    expect(await state(id)).toMatchObject({ status: 'done' });
  });

  it('goes on when it is given another recipient', async () => {
    const id = await world.newCampaign();
    const recipients = await world.newRecipients(id, await world.newContacts(1));
    await world.setStatus(recipients, 'claimed');
    await world.db.query(sql`update public.campaigns set next_at = null where id = ${id}`);
    expect(await state(id)).toMatchObject({ has_next: 'f' });
    await world.newRecipients(id, await world.newContacts(1));
    expect(await state(id)).toMatchObject({ status: 'running', has_next: 't' });
  });

  it('that is paused or drafted is not done with its last recipient', async () => {
    for (const status of ['draft', 'paused', 'scheduled']) {
      const id = await world.newCampaign(status);
      const recipients = await world.newRecipients(id, await world.newContacts(1));
      await world.setStatus(recipients, 'skipped');
      expect(await state(id)).toMatchObject({ status });
    }
  });

  it('has its waiting recipients change the device with it; the others stay with theirs', async () => {
    const [first, second] = world.ours.deviceIds;
    const id = await world.newCampaign();
    const recipients = await world.newRecipients(id, await world.newContacts(2));
    await world.setStatus([recipients[0]], 'sent');
    await world.db.query(sql`update public.campaigns set device_id = ${second} where id = ${id}`);
    const rows = await world.db.query(
      sql`select device_id from public.campaign_recipients where campaign_id = ${id} order by id`,
    );
    expect(rows.map((row) => Number(row['device_id']))).toEqual([first, second]);
  });
});

describe('a recipient whose message is written', () => {
  let chatId: number;

  beforeAll(() => {
    chatId = world.ours.chatIds[0] ?? 0;
  });

  async function claimed(
    chat = chatId,
  ): Promise<{ campaign: number; recipient: number; message: number }> {
    const campaign = await world.newCampaign();
    const [recipient = 0] = await world.newRecipients(campaign, await world.newContacts(1));
    const { id } = await world.one(sql`
      insert into public.messages (account_id, chat_id, body, is_from_me, status)
      values (${world.ours.accountId}, ${chat}, 'Hello', true, 'pending') returning id`);
    await world.db.query(sql`
      update public.campaign_recipients
      set status = 'claimed', chat_id = ${chat}, message_id = ${id}, claimed_at = now() where id = ${recipient}`);
    return { campaign, recipient, message: Number(id) };
  }

  const move = (message: number, status: string, error: string | null = null) =>
    world.db.query(
      sql`update public.messages set status = ${status}, error = ${error} where id = ${message}`,
    );
  const shown = (recipient: number) =>
    world.one(sql`select status, error from public.campaign_recipients where id = ${recipient}`);

  it('is where its message is, and counted so', async () => {
    const { campaign, recipient, message } = await claimed();
    await move(message, 'sending');
    expect(await shown(recipient)).toEqual({ status: 'claimed', error: null });
    for (const [status, expected] of [
      ['sent', 'sent'],
      ['delivered', 'delivered'],
      ['read', 'read'],
      ['played', 'read'],
    ] as const) {
      await move(message, status);
      expect(await shown(recipient)).toEqual({ status: expected, error: null });
    }
    expect(await world.counts(campaign)).toEqual({ total: 1, sent: 1, delivered: 1, read: 1 });
    // A message never goes back, and neither does the recipient.
    await move(message, 'sent');
    expect(await shown(recipient)).toMatchObject({ status: 'read' });
  });

  it('may be played at once, and fails with the message, saying why', async () => {
    const played = await claimed();
    await move(played.message, 'played');
    expect(await shown(played.recipient)).toMatchObject({ status: 'read' });
    const failed = await claimed();
    await move(failed.message, 'failed', 'not on WhatsApp');
    expect(await shown(failed.recipient)).toEqual({ status: 'failed', error: 'not on WhatsApp' });
    expect(await world.counts(failed.campaign)).toEqual({ total: 1, failed: 1 });
    // It had been sent after all.
    await move(failed.message, 'delivered');
    expect(await shown(failed.recipient)).toEqual({ status: 'delivered', error: null });
    expect(await world.counts(failed.campaign)).toEqual({ total: 1, sent: 1, delivered: 1 });
  });

  it('has failed when its message went with the chat before it was sent, and the campaign goes on', async () => {
    const [contact] = await world.newContacts(1);
    const { id: chat } = await world.one(sql`
      insert into public.chats (account_id, device_id, contact_id, jid)
      values (${world.ours.accountId}, ${world.ours.deviceIds[0]}, ${contact}, ${`${contact}@lid`}) returning id`);
    const waiting = await claimed(Number(chat));
    const sent = await claimed(Number(chat));
    await move(sent.message, 'sent');
    await world.db.query(sql`delete from public.chats where id = ${chat}`);
    expect(await shown(waiting.recipient)).toEqual({
      status: 'failed',
      error: 'Its message was deleted before it was sent.',
    });
    expect(await shown(sent.recipient)).toEqual({ status: 'sent', error: null });
    const { status } = await world.one(
      sql`select status from public.campaigns where id = ${waiting.campaign}`,
    );
    expect(status).toBe('done');
  });

  it('shares its chat with no other of the campaign', async () => {
    const { campaign } = await claimed();
    const [other] = await world.newRecipients(campaign, await world.newContacts(1));
    await expect(
      world.db.query(
        sql`update public.campaign_recipients set chat_id = ${chatId} where id = ${other}`,
      ),
    ).rejects.toMatchObject({ code: 'conflict' });
  });
});
