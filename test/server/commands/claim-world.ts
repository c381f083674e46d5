import { afterAll } from 'vitest';
import { createLog } from '../../../platform/log.ts';
import { createDatabase, type Database, type TextRow } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';
import { claimRecipients, type ClaimOutcome } from '../../../server/commands/claim-recipients.ts';
import { startCampaignWorld, type CampaignWorld } from '../campaign-world.ts';

type Sent = { id: number; status: string; body: string; clientId: string; chatId: number };

export type ClaimWorld = CampaignWorld & {
  /** As the process that claims. */
  readonly ingest: Database;
  claim(campaignId: number, now?: number): Promise<ClaimOutcome>;
  messagesOf(campaignId: number): Promise<Sent[]>;
  recipientsOf(campaignId: number): Promise<TextRow[]>;
  /** What the device's worker does with the outbox; gives how many there were. */
  sendAll(campaignId: number): Promise<number>;
};

export const NO_DELAY = { delay_seconds_min: 0, delay_seconds_max: 0, batch_pause_seconds: 0 };
export const HOUR = { delay_seconds_min: 3_600, delay_seconds_max: 3_600 };

/** Campaigns, and the process that claims for them. Ends with the test file. */
export async function startClaimWorld(): Promise<ClaimWorld> {
  const world = await startCampaignWorld();
  const { owner, config } = world.api;
  const url = new URL(config.databaseUrl);
  if (url.username === 'clarin_test_api') url.username = 'clarin_test_ingest';
  const ingest = createDatabase({
    url: url.href,
    applicationName: 'test',
    max: 6,
    statementTimeoutMs: 10_000,
    log: createLog({ component: 'ingest', level: 'silent' }),
  });
  afterAll(() => ingest.close());
  return {
    ...world,
    ingest,
    claim: async (campaignId, now = Date.now()) => {
      const options = { accountId: world.one.accountId, campaignId, now, random: () => 0 };
      const { value } = await ingest.transaction((tx) => claimRecipients(tx, options));
      return value;
    },
    messagesOf: async (id) => {
      const rows = await owner.query(sql`
        select id, status, body, client_id, chat_id
        from public.messages where client_id like ${`campaign:${id}:%`} order by id`);
      return rows.map((row) => ({
        id: Number(row['id']),
        status: row['status'] ?? '',
        body: row['body'] ?? '',
        clientId: row['client_id'] ?? '',
        chatId: Number(row['chat_id']),
      }));
    },
    recipientsOf: (id) =>
      owner.query(sql`
        select id, contact_id, status, error, chat_id, message_id, claimed_at
        from public.campaign_recipients where campaign_id = ${id} order by id`),
    sendAll: async (id) => {
      const rows = await owner.query(sql`
        update public.messages set status = 'sent'
        where client_id like ${`campaign:${id}:%`} and status = 'pending' returning id`);
      return rows.length;
    },
  };
}
