import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Entity } from '../../../domain/entity.ts';
import { chats } from '../../../domain/entities/chats.ts';
import { contacts } from '../../../domain/entities/contacts.ts';
import { leads } from '../../../domain/entities/leads.ts';
import { listEntities } from '../../../platform/entity-sql.ts';
import { listQuerySchema } from '../../../platform/entity-sql/list-query.ts';
import { sql, type Sql } from '../../../platform/sql.ts';
import type { AccountFixture } from '../../support/account-fixture.ts';
import { openPlanWorld, type PlanWorld } from './plan-world.ts';

/** An account with more rows than a search looks at one by one, and one with more than a list counts. */
let world: PlanWorld;

beforeAll(async () => {
  world = await openPlanWorld();
});

afterAll(() => world.close());

type Page = {
  data: { id: number }[];
  total: number;
  total_is_capped?: true;
  next_cursor?: string;
};

async function list(
  entity: Entity,
  raw: Record<string, string>,
  account: AccountFixture = world.large,
): Promise<Page> {
  const query = listQuerySchema(entity).parse(raw);
  const { accountId } = account;
  return JSON.parse(await listEntities(world.db, entity, { accountId, query })) as Page;
}

const ids = async (statement: Sql): Promise<number[]> =>
  (await world.db.query(statement)).map((row) => Number(row['id']));
const shown = (page: Page): number[] => page.data.map(({ id }) => id);

it('a total of up to 10,000 is exact, and beyond that it says so', async () => {
  const exact = await list(contacts, {});
  const rows = await world.db.query(
    sql`select count(*) as total from public.contacts where account_id = ${world.large.accountId}`,
  );
  expect(exact).toMatchObject({ total: Number(rows[0]?.['total']) });
  expect(exact).not.toHaveProperty('total_is_capped');
  const capped = await list(contacts, { page: '79', limit: '200' }, world.theirs);
  expect(capped).toMatchObject({ total: 10_000, total_is_capped: true });
  expect(capped.data).toHaveLength(200);
});

it('a search that matches most rows shows the first of them and counts those it has seen', async () => {
  const page = await list(leads, { search: 'title' });
  expect(shown(page)).toEqual(
    await ids(sql`
      select id from public.leads
      where account_id = ${world.large.accountId} and title ilike '%title%' and archived_at is null and deleted_at is null
      order by created_at desc, id desc
      limit 50`),
  );
  expect(page.total_is_capped).toBe(true);
  expect(page.total).toBeGreaterThan(50);
});

it('a search that matches few rows finds those that stand last too, and counts them exactly', async () => {
  for (const search of ['51900003', '5190000399', 'c4ca4238a0']) {
    const found = await ids(sql`
      select lead.id
      from public.leads as lead
      join public.contacts as contact on contact.id = lead.contact_id
      where lead.account_id = ${world.large.accountId} and lead.archived_at is null and lead.deleted_at is null
        and (title ilike ${`%${search}%`} or display_name ilike ${`%${search}%`} or phone ilike ${`%${search}%`})
      order by lead.created_at desc, lead.id desc`);
    expect(found.length).toBeGreaterThan(0);
    const page = await list(leads, { search, limit: '200' });
    expect(shown(page), search).toEqual(found.slice(0, 200));
    expect(page.total, search).toBe(found.length);
    expect(page).not.toHaveProperty('total_is_capped');
  }
});

it('pages of a search by number and by cursor are one list, however far they go', async () => {
  const expected = await ids(sql`
    select id from public.chats
    where account_id = ${world.large.accountId} and name ilike '%e 1%'
    order by active_at desc, id desc`);
  expect(expected.length).toBeGreaterThan(200);
  const byNumber: number[] = [];
  for (let page = 1; page <= Math.ceil(expected.length / 50); page++)
    byNumber.push(...shown(await list(chats, { search: 'e 1', page: String(page) })));
  expect(byNumber).toEqual(expected);
  const byCursor: number[] = [];
  let cursor: string | undefined;
  do {
    const page = await list(chats, { search: 'e 1', ...(cursor && { cursor }) });
    byCursor.push(...shown(page));
    cursor = page.next_cursor;
  } while (cursor !== undefined);
  expect(byCursor).toEqual(expected);
});

it('a tag that most rows have and one that few have give the same rows as their links', async () => {
  const [first, second] = world.large.tagIds;
  await world.db.query(sql`
    insert into public.lead_tags (account_id, lead_id, tag_id)
    select account_id, id, ${first} from public.leads
    where account_id = ${world.large.accountId}
    on conflict do nothing`);
  for (const raw of [
    { tag_ids: String(first) },
    { tag_ids: `${first},${second}`, tag_ids_match: 'all' },
  ]) {
    const wanted = raw.tag_ids.split(',');
    const expected = await ids(sql`
      select lead.id
      from public.leads as lead
      where lead.account_id = ${world.large.accountId} and archived_at is null and deleted_at is null
        and (select count(*) from public.lead_tags where lead_id = lead.id and tag_id = any(${wanted}::bigint[]))
          = ${wanted.length}
      order by created_at desc, id desc
      limit 50`);
    expect(shown(await list(leads, raw)), raw.tag_ids).toEqual(expected);
  }
});
