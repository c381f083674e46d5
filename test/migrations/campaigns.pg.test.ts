import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { openCampaignWorld, type CampaignWorld } from './campaign-world.ts';

let world: CampaignWorld;

beforeAll(async () => {
  world = await openCampaignWorld();
});

afterAll(() => world.close());

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
    const id = await world.newCampaign();
    const recipients = await world.newRecipients(id, await world.newContacts(7));
    expect(await world.counts(id)).toEqual({ total: 7, pending: 7 });
    const states = ['claimed', 'sent', 'delivered', 'read', 'failed', 'skipped'];
    for (const [index, status] of states.entries())
      await world.setStatus([recipients[index]], status);
    expect(await world.counts(id)).toEqual({
      total: 7,
      pending: 1,
      claimed: 1,
      sent: 3,
      delivered: 2,
      read: 1,
      failed: 1,
      skipped: 1,
    });
    await world.setStatus(recipients, 'read');
    expect(await world.counts(id)).toEqual({ total: 7, sent: 7, delivered: 7, read: 7 });
    await world.db.query(
      sql`delete from public.campaign_recipients where id = any(${recipients.slice(0, 3)}::bigint[])`,
    );
    expect(await world.counts(id)).toEqual({ total: 4, sent: 4, delivered: 4, read: 4 });
  });

  it('are not written when nothing is counted differently', async () => {
    const id = await world.newCampaign();
    const recipients = await world.newRecipients(id, await world.newContacts(2));
    const version = () =>
      world.one(sql`select updated_at, xmin from public.campaigns where id = ${id}`);
    const before = await version();
    await world.db.query(sql`
      update public.campaign_recipients set error = 'x' where id = any(${recipients}::bigint[])`);
    await world.setStatus(recipients, 'pending');
    await world.db.query(sql`
      insert into public.campaign_recipients (account_id, campaign_id, contact_id)
      select account_id, campaign_id, contact_id from public.campaign_recipients where campaign_id = ${id}
      on conflict (account_id, campaign_id, contact_id) do nothing`);
    expect(await version()).toEqual(before);
  });

  it('cost one update for a statement, and no reading of the others', async () => {
    const id = await world.newCampaign();
    const recipients = await world.newRecipients(id, await world.newContacts(3_000));
    const { value } = await world.db.transaction(async (tx) => {
      // A session hands its counts over once a second: until then they hold what it did before, too.
      const before = await tabCounts(tx);
      await world.setStatus(recipients.slice(0, 2), 'claimed', tx);
      const after = await tabCounts(tx);
      return (table: string, what: 'updated' | 'read') =>
        Number(after.get(table)?.[what]) - Number(before.get(table)?.[what] ?? 0);
    });
    expect(value('campaign_recipients', 'updated')).toBe(2);
    expect(value('campaign_recipients', 'read')).toBeLessThan(20);
    expect(value('campaigns', 'updated')).toBe(1);
    expect(await world.counts(id)).toEqual({ total: 3_000, pending: 2_998, claimed: 2 });
  });

  it('follow recipients that move to another campaign, in one statement with others', async () => {
    const [from, to] = [await world.newCampaign(), await world.newCampaign()];
    const recipients = await world.newRecipients(from, await world.newContacts(3));
    await world.newRecipients(to, await world.newContacts(1));
    await world.db.query(sql`
      update public.campaign_recipients
      set campaign_id = case when id = ${recipients[0]} then ${from}::bigint else ${to}::bigint end, status = 'sent'
      where id = any(${recipients}::bigint[])`);
    expect(await world.counts(from)).toEqual({ total: 1, sent: 1 });
    expect(await world.counts(to)).toEqual({ total: 3, pending: 1, sent: 2 });
  });

  it('lose those whose contact is deleted, and those of a merge that had two places', async () => {
    const id = await world.newCampaign();
    const [gone, winner, loser] = await world.newContacts(3);
    const recipients = await world.newRecipients(id, [gone, winner, loser].map(Number));
    await world.setStatus([recipients[2]], 'sent');
    await world.db.query(sql`delete from public.contacts where id = ${gone}`);
    expect(await world.counts(id)).toEqual({ total: 2, pending: 1, sent: 1 });
    await world.db.transaction(async (tx) => {
      await tx.query(sql`delete from public.campaign_recipients where id = ${recipients[1]}`);
      await tx.query(
        sql`update public.campaign_recipients set contact_id = ${winner} where id = ${recipients[2]}`,
      );
      await tx.query(sql`delete from public.contacts where id = ${loser}`);
    });
    expect(await world.counts(id)).toEqual({ total: 1, sent: 1 });
  });

  it('are right after whoever counted was rolled back', async () => {
    const id = await world.newCampaign();
    const recipients = await world.newRecipients(id, await world.newContacts(2));
    await expect(
      world.db.transaction(async (tx) => {
        await world.setStatus(recipients, 'sent', tx);
        await tx.query(sql`select 1 / 0`);
      }),
    ).rejects.toMatchObject({ code: 'internal' });
    expect(await world.counts(id)).toEqual({ total: 2, pending: 2 });
  });

  it('are right after many who change them at once, one transaction and campaigns of both orders', async () => {
    const [one, two] = [await world.newCampaign(), await world.newCampaign()];
    const ones = await world.newRecipients(one, await world.newContacts(40));
    const twos = await world.newRecipients(two, await world.newContacts(40));
    const states = ['claimed', 'sent', 'delivered', 'read', 'failed', 'skipped'];
    await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const status = states[index % states.length] ?? '';
        // Both campaigns in one statement, and in either order.
        await world.setStatus(
          index % 2 === 0 ? [ones[index], twos[index]] : [twos[index], ones[index]],
          status,
        );
        if (index % 8 === 7)
          await world.db.query(
            sql`delete from public.campaign_recipients where id = any(${[ones[index], twos[index - 1]].map(Number)}::bigint[])`,
          );
      }),
    );
    expect(await world.counts(one)).toEqual(await recounted(one));
    expect(await world.counts(two)).toEqual(await recounted(two));
    expect((await world.counts(one))['total']).toBe(35);
  });

  it('are kept in a session that replicates', async () => {
    const id = await world.newCampaign();
    const recipients = await world.newRecipients(id, await world.newContacts(1));
    await world.db.transaction(async (tx) => {
      await tx.query(sql`set local session_replication_role = replica`);
      await world.setStatus(recipients, 'sent', tx);
    });
    expect(await world.counts(id)).toEqual({ total: 1, sent: 1 });
  });

  it('do not keep a campaign or an account from being deleted', async () => {
    const id = await world.newCampaign();
    await world.newRecipients(id, await world.newContacts(2));
    await world.db.query(sql`delete from public.campaigns where id = ${id}`);
    expect(
      await world.db.query(sql`select from public.campaign_recipients where campaign_id = ${id}`),
    ).toEqual([]);
  });
});

/** What this session did to each table and has not handed over yet. */
async function tabCounts(tx: Queries): Promise<Map<string, TextRow>> {
  const rows = await tx.query(sql`
    select relname, n_tup_upd as updated, seq_tup_read + idx_tup_fetch as read
    from pg_stat_xact_user_tables
    where relname in ('campaigns', 'campaign_recipients')`);
  return new Map(rows.map((row) => [row['relname'] ?? '', row]));
}
