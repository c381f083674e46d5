import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { openWorld, type World } from './plain-sql-world.ts';

/** Plain SQL about campaigns of the first account. */
export type CampaignWorld = World & {
  newCampaign(status?: string): Promise<number>;
  newContacts(count: number): Promise<number[]>;
  newRecipients(campaignId: number, contactIds: readonly number[]): Promise<number[]>;
  setStatus(ids: readonly (number | undefined)[], status: string, on?: Queries): Promise<unknown>;
  /** What the campaign's row says, without what is 0. */
  counts(campaignId: number): Promise<Record<string, number>>;
};

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

export async function openCampaignWorld(): Promise<CampaignWorld> {
  const world = await openWorld();
  const { accountId, deviceIds } = world.ours;
  return {
    ...world,
    newCampaign: async (status = 'running') => {
      const { id } = await world.one(sql`
        insert into public.campaigns (account_id, name, device_id, template, status)
        values (${accountId}, 'C', ${deviceIds[0]}, 'Hello', ${status}) returning id`);
      return Number(id);
    },
    newContacts: async (count) => {
      const rows = await world.db.query(sql`
        insert into public.contacts (account_id, name)
        select ${accountId}, 'Recipient ' || number from generate_series(1, ${count}::integer) as number
        returning id`);
      return rows.map((row) => Number(row['id']));
    },
    newRecipients: async (campaignId, contactIds) => {
      const rows = await world.db.query(sql`
        insert into public.campaign_recipients (account_id, campaign_id, contact_id)
        select ${accountId}, ${campaignId}, id from unnest(${[...contactIds]}::bigint[]) as id
        returning id`);
      return rows.map((row) => Number(row['id']));
    },
    setStatus: (ids, status, on = world.db) =>
      on.query(sql`
        update public.campaign_recipients set status = ${status}
        where id = any(${ids.map(Number)}::bigint[])`),
    counts: async (campaignId) => {
      const row = await world.one(sql`
        select total_count, pending_count, claimed_count, sent_count, delivered_count, read_count, failed_count,
          skipped_count
        from public.campaigns where id = ${campaignId}`);
      const entries = COUNTS.map((name) => [name, Number(row[`${name}_count`])] as const);
      return Object.fromEntries(entries.filter(([, count]) => count !== 0));
    },
  };
}
