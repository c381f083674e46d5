import { afterAll, beforeAll, expect, it } from 'vitest';
import { leads } from '../../../domain/entities/leads.ts';
import { contacts } from '../../../domain/entities/contacts.ts';
import { ENTITIES } from '../../../domain/registry.ts';
import type { Entity } from '../../../domain/entity.ts';
import { boardQuerySchema, boardStatement } from '../../../platform/entity-sql/board.ts';
import { formatKeyset } from '../../../platform/entity-sql/keyset.ts';
import { listStatement } from '../../../platform/entity-sql/list.ts';
import { listQuerySchema } from '../../../platform/entity-sql/list-query.ts';
import { sql, type Sql } from '../../../platform/sql.ts';
import type { AccountFixture } from '../../support/account-fixture.ts';
import { openPlanWorld, type Plan, type PlanWorld } from './plan-world.ts';

let world: PlanWorld;
let account: AccountFixture;

beforeAll(async () => {
  world = await openPlanWorld();
  account = world.large;
});

afterAll(() => world.close());

const explain = (statement: Sql): Promise<Plan[]> => world.explain(statement);
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
      cursor: formatKeyset({ of: 'leads', sort, order: 'asc' }, { value, id: 1 }),
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
    'leads_assigned_live',
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
  const short = await listPlan(contacts, { search: 'q7' });
  expect(indexes(short)).toContain('contacts_search');
  expect(isRead(short, 'contacts')).toBe(false);
});

it('the board counts and takes the first leads of each stage from the index of the board', async () => {
  const plans = await explain(boardStatement(account.accountId, boardQuerySchema().parse({})));
  const scans = plans.filter((plan) => plan['Index Name'] === 'leads_board');
  expect(scans.some((plan) => plan['Actual Rows'] <= 21)).toBe(true);
  expect(isRead(plans, 'leads')).toBe(false);
});

it('every sort and every filter of every list has an index behind the account', async () => {
  const rows = await world.db.query(sql`
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
