import type { Queries } from '../platform/postgres.ts';
import { sql, type Sql } from '../platform/sql.ts';

/** What the requests of one account can ask for. Ids of a sample, in no order. */
export type AccountWorld = {
  readonly id: number;
  readonly username: string;
  readonly leadCount: number;
  readonly pipelineIds: readonly number[];
  readonly stageIds: readonly number[];
  readonly userIds: readonly number[];
  readonly deviceIds: readonly number[];
  /** The one nearly everything has comes first. */
  readonly tagIds: readonly number[];
  readonly leads: readonly { readonly id: number; readonly createdAt: string }[];
  readonly contactIds: readonly number[];
  readonly chatIds: readonly number[];
  /** Those among them whose contact did not ask to be left alone. */
  readonly sendableChatIds: readonly number[];
  readonly messages: readonly { readonly id: number; readonly chatId: number }[];
  /** Digits out of the middle of its contacts' numbers. */
  readonly phoneParts: readonly string[];
};

const SAMPLE = 500;

/** The accounts, largest first. */
export async function readWorld(db: Queries): Promise<AccountWorld[]> {
  const rows = await db.query(sql`
    select account.id, (
        select username
        from public.users as member
        join public.memberships as membership on membership.user_id = member.id
        where membership.account_id = account.id and username like 'admin-%'
      ) as username,
      (select count(*) from public.leads as lead where lead.account_id = account.id) as leads
    from public.accounts as account
    order by leads desc, id`);
  const accounts: AccountWorld[] = [];
  for (const row of rows) {
    const id = Number(row['id']);
    const username = row['username'] ?? '';
    accounts.push(await readAccount(db, { id, username, leadCount: Number(row['leads']) }));
  }
  return accounts;
}

type Known = Pick<AccountWorld, 'id' | 'username' | 'leadCount'>;

async function readAccount(db: Queries, known: Known): Promise<AccountWorld> {
  const ids = async (statement: Sql): Promise<number[]> =>
    (await db.query(statement)).map((row) => Number(row['id']));
  const sample = sql`order by md5(id::text) limit ${SAMPLE}`;
  const leads = await db.query(sql`
    select id, created_at from public.leads where account_id = ${known.id} and deleted_at is null ${sample}`);
  const chats = await db.query(sql`
    select chat.id, contact.do_not_contact
    from public.chats as chat
    join public.contacts as contact on contact.account_id = chat.account_id and contact.id = chat.contact_id
    where chat.account_id = ${known.id}
    order by chat.active_at desc limit ${SAMPLE}`);
  const chatIds = chats.map((row) => Number(row['id']));
  const messages = await db.query(sql`
    select id, chat_id
    from public.messages
    where account_id = ${known.id} and chat_id = any(${chatIds}) and target_message_id is null ${sample}`);
  const phones = await db.query(sql`
    select substr(phone, 6, 5) as part from public.contacts where account_id = ${known.id} and phone is not null ${sample}`);
  return {
    ...known,
    pipelineIds: await ids(
      sql`select id from public.pipelines where account_id = ${known.id} order by id`,
    ),
    stageIds: await ids(
      sql`select id from public.pipeline_stages where account_id = ${known.id} order by id`,
    ),
    userIds: await ids(
      sql`select user_id as id from public.memberships where account_id = ${known.id} order by user_id`,
    ),
    deviceIds: await ids(
      sql`select id from public.devices where account_id = ${known.id} order by id`,
    ),
    tagIds: await ids(sql`select id from public.tags where account_id = ${known.id} order by id`),
    leads: leads.map((row) => ({ id: Number(row['id']), createdAt: row['created_at'] ?? '' })),
    contactIds: await ids(
      sql`select id from public.contacts where account_id = ${known.id} ${sample}`,
    ),
    chatIds,
    sendableChatIds: chats
      .filter((row) => row['do_not_contact'] === 'f')
      .map((row) => Number(row['id'])),
    messages: messages.map((row) => ({ id: Number(row['id']), chatId: Number(row['chat_id']) })),
    phoneParts: phones.map((row) => row['part'] ?? ''),
  };
}
