import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { openWorld, type World } from './plain-sql-world.ts';

let world: World;

beforeAll(async () => {
  world = await openWorld();
});

afterAll(() => world.close());

const account = () => world.ours.accountId;

async function newCampaign(status = 'running'): Promise<number> {
  const { id } = await world.one(sql`
    insert into public.campaigns (account_id, name, device_id, template, status)
    values (${account()}, 'C', ${world.ours.deviceIds[0]}, 'Hello', ${status}) returning id`);
  return Number(id);
}

async function newContacts(count: number): Promise<number[]> {
  const rows = await world.db.query(sql`
    insert into public.contacts (account_id, name)
    select ${account()}, 'Recipient ' || number from generate_series(1, ${count}::integer) as number returning id`);
  return rows.map((row) => Number(row['id']));
}

async function newRecipients(campaignId: number, contactIds: readonly number[]): Promise<number[]> {
  const rows = await world.db.query(sql`
    insert into public.campaign_recipients (account_id, campaign_id, contact_id)
    select ${account()}, ${campaignId}, id from unnest(${[...contactIds]}::bigint[]) as id returning id`);
  return rows.map((row) => Number(row['id']));
}

const setStatus = (ids: readonly (number | undefined)[], status: string, on: Queries = world.db) =>
  on.query(sql`
    update public.campaign_recipients set status = ${status} where id = any(${ids.map(Number)}::bigint[])`);

const COUNTS = [
  'total',
  'pending',
  'claimed',
  'sent',
  'delivered',
  'read',
  'failed',
  'skipped',
] as const;

/** Those that are not 0. */
async function counts(campaignId: number): Promise<Record<string, number>> {
  const row = await world.one(sql`
    select total_count, pending_count, claimed_count, sent_count, delivered_count, read_count, failed_count,
      skipped_count
    from public.campaigns where id = ${campaignId}`);
  const entries = COUNTS.map((name) => [name, Number(row[`${name}_count`])] as const);
  return Object.fromEntries(entries.filter(([, count]) => count !== 0));
}

/** The same, counted from the recipients. */
async function recounted(campaignId: number): Promise<Record<string, number>> {
  const rows = await world.db.query(sql`
    select status, count(*) as n from public.campaign_recipients where campaign_id = ${campaignId} group by status`);
  const of = (...statuses: string[]): number =>
    rows
      .filter((row) => statuses.includes(row['status'] ?? ''))
      .reduce((sum, row) => sum + Number(row['n']), 0);
  const all = {
    total: rows.reduce((sum, row) => sum + Number(row['n']), 0),
    pending: of('pending'),
    claimed: of('claimed'),
    sent: of('sent', 'delivered', 'read'),
    delivered: of('delivered', 'read'),
    read: of('read'),
    failed: of('failed'),
    skipped: of('skipped'),
  };
  return Object.fromEntries(Object.entries(all).filter(([, count]) => count !== 0));
}

describe('the counts of a campaign', () => {
  it('follow its recipients through every state, and out', async () => {
    const id = await newCampaign();
    const recipients = await newRecipients(id, await newContacts(7));
    expect(await counts(id)).toEqual({ total: 7, pending: 7 });
    const states = ['claimed', 'sent', 'delivered', 'read', 'failed', 'skipped'];
    for (const [index, status] of states.entries()) await setStatus([recipients[index]], status);
    expect(await counts(id)).toEqual({
      total: 7,
      pending: 1,
      claimed: 1,
      sent: 3,
      delivered: 2,
      read: 1,
      failed: 1,
      skipped: 1,
    });
    await setStatus(recipients, 'read');
    expect(await counts(id)).toEqual({ total: 7, sent: 7, delivered: 7, read: 7 });
    await world.db.query(
      sql`delete from public.campaign_recipients where id = any(${recipients.slice(0, 3)}::bigint[])`,
    );
    expect(await counts(id)).toEqual({ total: 4, sent: 4, delivered: 4, read: 4 });
  });

  it('are not written when nothing is counted differently', async () => {
    const id = await newCampaign();
    const recipients = await newRecipients(id, await newContacts(2));
    const version = () =>
      world.one(sql`select updated_at, xmin from public.campaigns where id = ${id}`);
    const before = await version();
    await world.db.query(sql`
      update public.campaign_recipients set error = 'x' where id = any(${recipients}::bigint[])`);
    await setStatus(recipients, 'pending');
    await world.db.query(sql`
      insert into public.campaign_recipients (account_id, campaign_id, contact_id)
      select account_id, campaign_id, contact_id from public.campaign_recipients where campaign_id = ${id}
      on conflict (account_id, campaign_id, contact_id) do nothing`);
    expect(await version()).toEqual(before);
  });

  it('cost one update for a statement, and no reading of the others', async () => {
    const id = await newCampaign();
    const recipients = await newRecipients(id, await newContacts(3_000));
    const { value } = await world.db.transaction(async (tx) => {
      await setStatus(recipients.slice(0, 2), 'claimed', tx);
      return tx.query(sql`
        select relname, n_tup_upd, seq_tup_read + idx_tup_fetch as read
        from pg_stat_xact_user_tables
        where relname in ('campaigns', 'campaign_recipients')
        order by relname`);
    });
    const [recipientsTable, campaignsTable] = value as [TextRow, TextRow];
    expect(recipientsTable).toMatchObject({ relname: 'campaign_recipients', n_tup_upd: '2' });
    expect(Number(recipientsTable['read'])).toBeLessThan(20);
    expect(campaignsTable).toMatchObject({ relname: 'campaigns', n_tup_upd: '1' });
    expect(await counts(id)).toEqual({ total: 3_000, pending: 2_998, claimed: 2 });
  });

  it('follow recipients that move to another campaign, in one statement with others', async () => {
    const [from, to] = [await newCampaign(), await newCampaign()];
    const recipients = await newRecipients(from, await newContacts(3));
    await newRecipients(to, await newContacts(1));
    await world.db.query(sql`
      update public.campaign_recipients
      set campaign_id = case when id = ${recipients[0]} then ${from}::bigint else ${to}::bigint end, status = 'sent'
      where id = any(${recipients}::bigint[])`);
    expect(await counts(from)).toEqual({ total: 1, sent: 1 });
    expect(await counts(to)).toEqual({ total: 3, pending: 1, sent: 2 });
  });

  it('lose those whose contact is deleted, and those of a merge that had two places', async () => {
    const id = await newCampaign();
    const [gone, winner, loser] = await newContacts(3);
    const recipients = await newRecipients(id, [gone, winner, loser].map(Number));
    await setStatus([recipients[2]], 'sent');
    await world.db.query(sql`delete from public.contacts where id = ${gone}`);
    expect(await counts(id)).toEqual({ total: 2, pending: 1, sent: 1 });
    await world.db.transaction(async (tx) => {
      await tx.query(sql`delete from public.campaign_recipients where id = ${recipients[1]}`);
      await tx.query(
        sql`update public.campaign_recipients set contact_id = ${winner} where id = ${recipients[2]}`,
      );
      await tx.query(sql`delete from public.contacts where id = ${loser}`);
    });
    expect(await counts(id)).toEqual({ total: 1, sent: 1 });
  });

  it('are right after whoever counted was rolled back', async () => {
    const id = await newCampaign();
    const recipients = await newRecipients(id, await newContacts(2));
    await expect(
      world.db.transaction(async (tx) => {
        await setStatus(recipients, 'sent', tx);
        await tx.query(sql`select 1 / 0`);
      }),
    ).rejects.toMatchObject({ code: 'internal' });
    expect(await counts(id)).toEqual({ total: 2, pending: 2 });
  });

  it('are right after many who change them at once, one transaction and campaigns of both orders', async () => {
    const [one, two] = [await newCampaign(), await newCampaign()];
    const ones = await newRecipients(one, await newContacts(40));
    const twos = await newRecipients(two, await newContacts(40));
    const states = ['claimed', 'sent', 'delivered', 'read', 'failed', 'skipped'];
    await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const status = states[index % states.length] ?? '';
        // Both campaigns in one statement, and in either order.
        await setStatus(
          index % 2 === 0 ? [ones[index], twos[index]] : [twos[index], ones[index]],
          status,
        );
        if (index % 8 === 7)
          await world.db.query(
            sql`delete from public.campaign_recipients where id = any(${[ones[index], twos[index - 1]].map(Number)}::bigint[])`,
          );
      }),
    );
    expect(await counts(one)).toEqual(await recounted(one));
    expect(await counts(two)).toEqual(await recounted(two));
    expect((await counts(one))['total']).toBe(35);
  });

  it('are kept in a session that replicates', async () => {
    const id = await newCampaign();
    const recipients = await newRecipients(id, await newContacts(1));
    await world.db.transaction(async (tx) => {
      await tx.query(sql`set local session_replication_role = replica`);
      await setStatus(recipients, 'sent', tx);
    });
    expect(await counts(id)).toEqual({ total: 1, sent: 1 });
  });

  it('do not keep a campaign or an account from being deleted', async () => {
    const id = await newCampaign();
    await newRecipients(id, await newContacts(2));
    await world.db.query(sql`delete from public.campaigns where id = ${id}`);
    expect(
      await world.db.query(sql`select from public.campaign_recipients where campaign_id = ${id}`),
    ).toEqual([]);
  });
});

describe('a running campaign', () => {
  const state = (id: number) =>
    world.one(sql`
      select status, next_at is not null as has_next, finished_at is not null as is_finished
      from public.campaigns where id = ${id}`);

  it('is done when its last recipient is settled, whoever settles it', async () => {
    const id = await newCampaign();
    const recipients = await newRecipients(id, await newContacts(3));
    await setStatus([recipients[0]], 'sent');
    await setStatus([recipients[1]], 'claimed');
    await world.db.query(sql`delete from public.campaign_recipients where id = ${recipients[2]}`);
    expect(await state(id)).toMatchObject({ status: 'running', is_finished: 'f' });
    await setStatus([recipients[1]], 'failed');
    expect(await state(id)).toEqual({ status: 'done', has_next: 'f', is_finished: 't' });
    // What comes after that changes nothing of it.
    await setStatus([recipients[0]], 'read');
    expect(await state(id)).toMatchObject({ status: 'done' });
  });

  it('goes on when it is given another recipient', async () => {
    const id = await newCampaign();
    const recipients = await newRecipients(id, await newContacts(1));
    await setStatus(recipients, 'claimed');
    await world.db.query(sql`update public.campaigns set next_at = null where id = ${id}`);
    expect(await state(id)).toMatchObject({ has_next: 'f' });
    await newRecipients(id, await newContacts(1));
    expect(await state(id)).toMatchObject({ status: 'running', has_next: 't' });
  });

  it('that is paused or drafted is not done with its last recipient', async () => {
    for (const status of ['draft', 'paused', 'scheduled']) {
      const id = await newCampaign(status);
      const recipients = await newRecipients(id, await newContacts(1));
      await setStatus(recipients, 'skipped');
      expect(await state(id)).toMatchObject({ status });
    }
  });

  it('has its waiting recipients change the device with it; the others stay with theirs', async () => {
    const [first, second] = world.ours.deviceIds;
    const id = await newCampaign();
    const recipients = await newRecipients(id, await newContacts(2));
    await setStatus([recipients[0]], 'sent');
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
    const campaign = await newCampaign();
    const [recipient = 0] = await newRecipients(campaign, await newContacts(1));
    const { id } = await world.one(sql`
      insert into public.messages (account_id, chat_id, body, is_from_me, status)
      values (${account()}, ${chat}, 'Hello', true, 'pending') returning id`);
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
    expect(await counts(campaign)).toEqual({ total: 1, sent: 1, delivered: 1, read: 1 });
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
    expect(await counts(failed.campaign)).toEqual({ total: 1, failed: 1 });
    // It had been sent after all.
    await move(failed.message, 'delivered');
    expect(await shown(failed.recipient)).toEqual({ status: 'delivered', error: null });
    expect(await counts(failed.campaign)).toEqual({ total: 1, sent: 1, delivered: 1 });
  });

  it('has failed when its message went with the chat before it was sent, and the campaign goes on', async () => {
    const [contact] = await newContacts(1);
    const { id: chat } = await world.one(sql`
      insert into public.chats (account_id, device_id, contact_id, jid)
      values (${account()}, ${world.ours.deviceIds[0]}, ${contact}, ${`${contact}@lid`}) returning id`);
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
    const [other] = await newRecipients(campaign, await newContacts(1));
    await expect(
      world.db.query(
        sql`update public.campaign_recipients set chat_id = ${chatId} where id = ${other}`,
      ),
    ).rejects.toMatchObject({ code: 'conflict' });
  });
});
