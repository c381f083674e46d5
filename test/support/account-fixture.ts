import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { createConversations, createSalesTools, idsOf } from './conversation-fixture.ts';

export type AccountFixture = {
  readonly accountId: number;
  readonly userId: number;
  readonly pipelineId: number;
  /** Stages of the pipeline by type, in their order. */
  readonly stages: {
    readonly active: readonly number[];
    readonly won: number;
    readonly lost: number;
  };
  readonly contactIds: readonly number[];
  readonly leadIds: readonly number[];
  readonly tagIds: readonly number[];
  readonly deviceIds: readonly number[];
  readonly chatIds: readonly number[];
  /** Of the first chat, oldest first. */
  readonly messageIds: readonly number[];
};

/**
 * An account with at least one row in every entity: an administrator with a session, the default
 * pipeline, four tags, six contacts and twelve leads that differ in everything a list can ask for, two devices with
 * four chats, and something of everything else.
 * `slug` must be free in this database.
 */
export async function createAccount(db: Queries, slug: string): Promise<AccountFixture> {
  const [account] = await db.query(sql`
    insert into public.accounts (name, slug) values (${`Account ${slug}`}, ${slug})
    returning id`);
  const accountId = Number(account?.['id']);
  await db.query(sql`select clarin.seed_account_defaults(${accountId})`);
  const userId = await createMember(db, accountId, slug);
  const tagIds = await idsOf(
    db,
    sql`
      insert into public.tags (account_id, name)
      select ${accountId}, 'Tag ' || number from generate_series(1, 4) as number
      returning id`,
  );
  const contactIds = await idsOf(
    db,
    sql`
      insert into public.contacts (account_id, name, phone, email, company, source, is_group, do_not_contact, created_at)
      select ${accountId}, 'Person ' || number || ${` of ${slug}`},
        case when number % 3 > 0 then '5199900000' || number end, 'p' || number || '@example.com', 'Company ' || number % 2,
        case when number % 2 = 0 then 'web' end, number = 5, number = 6, now() - number * interval '1 day'
      from generate_series(1, 6) as number
      returning id`,
  );
  const stages = await readStages(db, accountId);
  const all = [...stages.active, stages.won, stages.lost];
  const leadIds = await idsOf(
    db,
    sql`
      insert into public.leads (account_id, contact_id, title, value, stage_id, assigned_to, source, position,
        archived_at, deleted_at, created_at)
      select ${accountId}, (${contactIds}::bigint[])[1 + number % 6], 'Lead ' || number || ${` of ${slug}`}, number % 5,
        (${all}::bigint[])[1 + number % 6], case when number % 2 = 0 then ${userId}::bigint end,
        case when number % 3 = 0 then 'web' end, number % 4, case when number = 11 then now() end,
        case when number = 12 then now() end, now() - number * interval '1 hour'
      from generate_series(1, 12) as number
      returning id`,
  );
  await linkTags(db, { accountId, tagIds, contactIds, leadIds });
  const conversations = await createConversations(db, { accountId, userId, contactIds, tagIds });
  await createSalesTools(db, { accountId, userId, contactIds, leadIds, ...conversations });
  const [pipeline] = await db.query(sql`
    select id from public.pipelines where account_id = ${accountId} and is_default`);
  return {
    accountId,
    userId,
    pipelineId: Number(pipeline?.['id']),
    stages,
    contactIds,
    leadIds,
    tagIds,
    ...conversations,
  };
}

async function createMember(db: Queries, accountId: number, slug: string): Promise<number> {
  const [user] = await db.query(sql`
    insert into public.users (username, display_name, email, password_hash)
    values (${`user-${slug}`}, ${`User of ${slug}`}, ${`user@${slug}.example.com`}, 'no password')
    returning id`);
  const userId = Number(user?.['id']);
  await db.query(sql`
    insert into public.memberships (account_id, user_id, role_id, is_default)
    select ${accountId}, ${userId}, id, true
    from public.roles
    where account_id = ${accountId} and name = 'Administrator'`);
  await db.query(sql`
    insert into public.sessions (account_id, user_id, expires_at)
    values (${accountId}, ${userId}, now() + interval '1 day')`);
  return userId;
}

async function readStages(db: Queries, accountId: number): Promise<AccountFixture['stages']> {
  const rows = await db.query(sql`
    select id, type from public.pipeline_stages where account_id = ${accountId} order by position`);
  const of = (type: string): number[] =>
    rows.filter((row) => row['type'] === type).map((row) => Number(row['id']));
  return { active: of('active'), won: of('won')[0] ?? 0, lost: of('lost')[0] ?? 0 };
}

/** The first lead and contact have all tags, others some, the last none. */
async function linkTags(
  db: Queries,
  {
    accountId,
    tagIds,
    contactIds,
    leadIds,
  }: Pick<AccountFixture, 'accountId' | 'tagIds' | 'contactIds' | 'leadIds'>,
): Promise<void> {
  await db.query(sql`
    insert into public.lead_tags (account_id, lead_id, tag_id)
    select ${accountId}, lead.id, tag.id
    from unnest(${leadIds}::bigint[]) with ordinality as lead (id, place)
    join unnest(${tagIds}::bigint[]) with ordinality as tag (id, place) on tag.place % lead.place = 0`);
  await db.query(sql`
    insert into public.contact_tags (account_id, contact_id, tag_id)
    select ${accountId}, contact.id, tag.id
    from unnest(${contactIds}::bigint[]) with ordinality as contact (id, place)
    join unnest(${tagIds}::bigint[]) with ordinality as tag (id, place) on tag.place % contact.place = 0`);
}
