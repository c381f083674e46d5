import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';

type People = {
  readonly accountId: number;
  readonly userId: number;
  readonly contactIds: readonly number[];
};

export type Conversations = {
  readonly deviceIds: readonly number[];
  readonly chatIds: readonly number[];
  readonly messageIds: readonly number[];
};

/** Two devices, four chats (two on each), three messages in the first of them, with a reaction and a poll's vote. */
export async function createConversations(
  db: Queries,
  { accountId, contactIds, tagIds }: People & { readonly tagIds: readonly number[] },
): Promise<Conversations> {
  const deviceIds = await idsOf(
    db,
    sql`
      insert into public.devices (account_id, name, jid, status)
      select ${accountId}, 'Device ' || number, '5190000000' || number || '@s.whatsapp.net', 'connected'
      from generate_series(1, 2) as number
      returning id`,
  );
  await db.query(sql`
    insert into public.device_pairings (account_id, device_id, kind, code)
    values (${accountId}, ${deviceIds[0]}, 'qr', 'text of a QR')`);
  const chatIds = await idsOf(
    db,
    sql`
      insert into public.chats (account_id, device_id, contact_id, jid, created_at)
      select ${accountId}, (${[...deviceIds]}::bigint[])[1 + number % 2], (${[...contactIds]}::bigint[])[number],
        '5199900000' || number || '@s.whatsapp.net', now() - number * interval '1 day'
      from generate_series(1, 4) as number
      returning id`,
  );
  const messageIds = await idsOf(
    db,
    sql`
      insert into public.messages (account_id, chat_id, message_id, message_type, body, is_from_me, from_jid, sent_at)
      values
        (${accountId}, ${chatIds[0]}, 'IN1', 'text', 'Good morning', false, '51999000001@s.whatsapp.net', now() - interval '3 minutes'),
        (${accountId}, ${chatIds[0]}, 'OUT1', 'text', 'Good morning to you', true, null, now() - interval '2 minutes'),
        (${accountId}, ${chatIds[0]}, 'IN2', 'poll', 'When?', false, '51999000001@s.whatsapp.net', now() - interval '1 minute')
      returning id`,
  );
  await db.query(sql`
    insert into public.message_reactions (account_id, target_id, chat_id, sender_jid, emoji, reacted_at)
    values (${accountId}, ${messageIds[0]}, ${chatIds[0]}, 'me', '👍', now())`);
  await db.query(sql`
    insert into public.poll_votes (account_id, target_id, chat_id, voter_jid, options, voted_at)
    values (${accountId}, ${messageIds[2]}, ${chatIds[0]}, 'me', '{Today}', now())`);
  await db.query(sql`
    insert into public.chat_tags (account_id, chat_id, tag_id)
    values (${accountId}, ${chatIds[0]}, ${tagIds[0]}), (${accountId}, ${chatIds[0]}, ${tagIds[1]}),
      (${accountId}, ${chatIds[1]}, ${tagIds[0]})`);
  return { deviceIds, chatIds, messageIds };
}

/** One row at least of everything that people sell with, and of what the account is connected to. */
export async function createSalesTools(
  db: Queries,
  {
    accountId,
    userId,
    contactIds,
    leadIds,
    deviceIds,
  }: People & Conversations & { readonly leadIds: readonly number[] },
): Promise<void> {
  await db.query(sql`
    insert into public.media (account_id, device_id, object_key, mimetype, filename, state, created_by)
    values (${accountId}, ${deviceIds[0]}, ${`${accountId}/fixture`}, 'image/png', 'picture.png', 'stored', ${userId})`);
  await db.query(sql`
    insert into public.interactions (account_id, kind, contact_id, lead_id, notes, created_by, next_action_at)
    values
      (${accountId}, 'call', ${contactIds[0]}, null, 'Nobody answered', ${userId}, now() + interval '1 day'),
      (${accountId}, 'note', null, ${leadIds[0]}, 'Wants two', ${userId}, null)`);
  await db.query(sql`
    insert into public.quick_replies (account_id, shortcut, title, body)
    values (${accountId}, 'hi', 'Greeting', 'Hello {{name}}')`);
  const [campaignId] = await idsOf(
    db,
    sql`
      insert into public.campaigns (account_id, name, device_id, template, created_by)
      values (${accountId}, 'News', ${deviceIds[0]}, 'Hello {{name}}', ${userId})
      returning id`,
  );
  await db.query(sql`
    insert into public.campaign_recipients (account_id, campaign_id, contact_id)
    values (${accountId}, ${campaignId}, ${contactIds[0]}), (${accountId}, ${campaignId}, ${contactIds[1]})`);
  const [importId] = await idsOf(
    db,
    sql`
      insert into public.imports (account_id, filename, object_key, size, encoding, separator, mapping, created_by)
      values (${accountId}, 'people.csv', ${`${accountId}/csv`}, 10, 'utf-8', ',', '{"columns": []}', ${userId})
      returning id`,
  );
  await db.query(sql`
    insert into public.import_errors (account_id, import_id, line, field, message)
    values (${accountId}, ${importId}, 2, 'phone', 'is no phone number')`);
  await db.query(sql`
    insert into public.api_keys (account_id, user_id, name, prefix, key_hash, permissions)
    values (${accountId}, ${userId}, 'Robot', ${`clarin_${accountId}_x`}, sha256(${String(accountId)}::text::bytea), '{leads}')`);
  const [connectionId] = await idsOf(
    db,
    sql`
      insert into public.kommo_connections (account_id, subdomain) values (${accountId}, 'example') returning id`,
  );
  await db.query(sql`
    insert into public.kommo_pipelines (account_id, connection_id, kommo_id, name)
    values (${accountId}, ${connectionId}, 1, 'Theirs')`);
}

/** Ids that a statement returns, in its order. */
export async function idsOf(db: Queries, statement: Sql): Promise<number[]> {
  const rows = await db.query(statement);
  return rows.map((row) => Number(row['id']));
}
