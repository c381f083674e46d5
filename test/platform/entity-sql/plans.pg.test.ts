import { afterAll, beforeAll, expect, it } from 'vitest';
import { leads } from '../../../domain/entities/leads.ts';
import { contacts } from '../../../domain/entities/contacts.ts';
import { ENTITIES } from '../../../domain/registry.ts';
import type { Entity } from '../../../domain/entity.ts';
import { boardQuerySchema, boardStatement } from '../../../platform/entity-sql/board.ts';
import { formatKeyset } from '../../../platform/entity-sql/keyset.ts';
import { listStatement } from '../../../platform/entity-sql/list.ts';
import { listQuerySchema } from '../../../platform/entity-sql/list-query.ts';
import { createLog } from '../../../platform/log.ts';
import { createDatabase, type Database } from '../../../platform/postgres.ts';
import { sql, type Sql } from '../../../platform/sql.ts';
import { createAccount, type AccountFixture } from '../../support/account-fixture.ts';
import { createTestDatabase, type TestDatabase } from '../../support/services.ts';

/** Rows of one account among as many of another's: enough for the planner to care. */
const ROWS = 10_000;
let database: TestDatabase;
let db: Database;
let account: AccountFixture;

beforeAll(async () => {
  database = await createTestDatabase();
  db = createDatabase({
    url: database.ownerUrl,
    applicationName: 'test',
    max: 2,
    statementTimeoutMs: 60_000,
    log: createLog({ component: 'api', level: 'silent' }),
  });
  account = await createAccount(db, 'ours');
  const theirs = await createAccount(db, 'theirs');
  for (const one of [account, theirs]) {
    await db.query(sql`
      insert into public.contacts (account_id, name, phone, created_at)
      select ${one.accountId}, 'Name ' || md5(number::text), (51900000000 + number)::text, now() - number * interval '1 minute'
      from generate_series(1, ${ROWS}::integer) as number`);
    await db.query(sql`
      insert into public.leads (account_id, contact_id, title, stage_id, value, created_at)
      select account_id, id, 'Title ' || md5(id::text), (${one.stages.active}::bigint[])[1 + id % 4], id % 1000, created_at
      from public.contacts where account_id = ${one.accountId}`);
  }
  await db.query(sql`vacuum analyze public.leads, public.contacts, public.pipeline_stages`);
});

afterAll(async () => {
  await db.close();
  await database.drop();
});

type Plan = {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  Plans?: Plan[];
};

async function explain(statement: Sql): Promise<Plan[]> {
  const [row] = await db.query(
    sql`explain (analyze, costs off, timing off, format json) ${statement}`,
  );
  const [{ Plan: root }] = JSON.parse(Object.values(row ?? {})[0] ?? '[]') as [{ Plan: Plan }];
  const flatten = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(flatten)];
  return flatten(root);
}

const listPlan = (entity: Entity, raw: Record<string, string>): Promise<Plan[]> =>
  explain(listStatement(entity, account, listQuerySchema(entity).parse(raw)));
const indexes = (plans: readonly Plan[]): (string | undefined)[] =>
  plans.map((plan) => plan['Index Name']);
/** Rows of a table that were taken in by other means than an index condition on what was asked. */
const isRead = (plans: readonly Plan[], table: string): boolean =>
  plans.some((plan) => plan['Node Type'] === 'Seq Scan' && plan['Relation Name'] === table);

it('the first page of leads comes from the index of its sort, and its count from an index alone', async () => {
  const plans = await listPlan(leads, {});
  expect(indexes(plans)).toContain('leads_live');
  expect(
    plans
      .filter((plan) => plan['Node Type'] === 'Index Only Scan')
      .map((plan) => plan['Index Name']),
  ).toContain('leads_live');
  expect(isRead(plans, 'leads')).toBe(false);
});

it('a page by cursor starts at the cursor', async () => {
  for (const sort of ['title', 'value', 'position', 'updated_at']) {
    const value =
      { title: 'Title 8', value: '500', position: '1', updated_at: '2026-11-22 10:00:00+00' }[
        sort
      ] ?? '';
    const plans = await listPlan(leads, {
      sort,
      order: 'asc',
      cursor: formatKeyset({ sort, order: 'asc' }, { value, id: 1 }),
    });
    const scan = plans.find((plan) => plan['Index Name'] === `leads_${sort}`);
    expect(scan).toBeDefined();
    expect(scan?.['Actual Rows']).toBeLessThanOrEqual(51);
  }
});

it('embeds are fetched for the rows of the page only', async () => {
  const plans = await listPlan(leads, { limit: '10' });
  for (const table of ['lead_tags', 'contacts']) {
    for (const plan of plans.filter((one) => one['Relation Name'] === table))
      expect(plan['Actual Loops']).toBeLessThanOrEqual(11);
  }
});

it('filters use their indexes', async () => {
  const [contactId] = account.contactIds;
  expect(indexes(await listPlan(leads, { contact_id: String(contactId) }))).toContain(
    'leads_contact_id',
  );
  expect(indexes(await listPlan(leads, { assigned_to: String(account.userId) }))).toContain(
    'leads_assigned_to',
  );
  expect(indexes(await listPlan(leads, { trash: 'true' }))).toContain('leads_deleted_at');
  expect(indexes(await listPlan(leads, { archived: 'true' }))).toContain('leads_archived_at');
});

it('searching uses trigrams, of the account only, in both tables', async () => {
  const found = indexes(await listPlan(leads, { search: 'c4ca4238a0' }));
  expect(found).toContain('leads_search');
  expect(found).toContain('contacts_search');
  const plans = await listPlan(contacts, { search: 'c4ca4238a0' });
  expect(indexes(plans)).toContain('contacts_search');
  expect(isRead(plans, 'contacts')).toBe(false);
});

it('the board counts and takes the first leads of each stage from the index of the board', async () => {
  const plans = await explain(boardStatement(account.accountId, boardQuerySchema().parse({})));
  const scans = plans.filter((plan) => plan['Index Name'] === 'leads_board');
  expect(scans.some((plan) => plan['Actual Rows'] <= 21)).toBe(true);
  expect(isRead(plans, 'leads')).toBe(false);
});

it('every sort and every filter of every list has an index behind the account', async () => {
  const rows = await db.query(sql`
    select class.relname as table_name, (
      select string_agg(attribute.attname, ',' order by place.ordinality)
      from unnest(index.indkey::int2[]) with ordinality as place (attnum, ordinality)
      join pg_attribute as attribute on attribute.attrelid = class.oid and attribute.attnum = place.attnum
    ) as columns, pg_get_expr(index.indpred, index.indrelid) as predicate
    from pg_index as index
    join pg_class as class on class.oid = index.indrelid
    where class.relnamespace = 'public'::regnamespace`);
  for (const entity of ENTITIES) {
    const own = rows.filter((row) => row['table_name'] === entity.table);
    for (const sort of entity.list?.sorts ?? []) {
      const wanted = `account_id,${sort},id`;
      expect(
        own.map((row) => row['columns']),
        `${entity.table} by ${sort}`,
      ).toContain(wanted);
    }
    for (const filter of Object.values(entity.list?.filters ?? {})) {
      if (filter.kind === 'linked') continue;
      const serves = own.some(
        (row) =>
          `${row['columns']},`.startsWith(`account_id,${filter.column},`) ||
          (row['columns']?.startsWith('account_id') && row['predicate']?.includes(filter.column)),
      );
      expect(serves, `${entity.table} by ${filter.column}`).toBe(true);
    }
  }
});
