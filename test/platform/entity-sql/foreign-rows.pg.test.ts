import { afterAll, beforeAll, expect, it } from 'vitest';
import { publishedColumns, type Entity } from '../../../domain/entity.ts';
import { ENTITIES } from '../../../domain/registry.ts';
import { formatTimestamp } from '../../../domain/row-json.ts';
import { boardQuerySchema, boardStatement } from '../../../platform/entity-sql/board.ts';
import { listQuerySchema } from '../../../platform/entity-sql/list-query.ts';
import { listStatement } from '../../../platform/entity-sql/list.ts';
import { ident, join, sql } from '../../../platform/sql.ts';
import type { AccountFixture } from '../../support/account-fixture.ts';
import { openPlanWorld, scansOfAnybody, type PlanWorld } from './plan-world.ts';

/**
 * No list, search or board takes in another account's rows to throw them away. Tables of a page or two may be read as they are,
 * so this is about those that grow.
 */
const GROWING = ['leads', 'contacts', 'chats', 'interactions', 'campaign_recipients'] as const;

let world: PlanWorld;

beforeAll(async () => {
  world = await openPlanWorld();
});

afterAll(() => world.close());

/** Every sort, every filter by itself with a value there is, and a search. */
async function questionsOf(
  entity: Entity,
  account: AccountFixture,
): Promise<Record<string, string>[]> {
  const [row] = await world.db.query(sql`
    select ${join(publishedColumns(entity).map((name) => ident(name)))}
    from ${ident(entity.table)}
    where account_id = ${account.accountId}
    order by id
    limit 1`);
  const list = entity.list;
  if (!row || !list) throw new Error(`${entity.table} has no rows or no list`);
  const questions: Record<string, string>[] = [{}, { page: '3', limit: '200' }];
  for (const sort of list.sorts) questions.push({ sort, order: 'asc' }, { sort, order: 'desc' });
  for (const [name, filter] of Object.entries(list.filters)) {
    switch (filter.kind) {
      case 'equals': {
        const value = row[filter.column];
        if (value === null || value === undefined) break;
        const isBoolean = entity.columns[filter.column]?.kind === 'boolean';
        questions.push({ [name]: isBoolean ? 'true' : value });
        break;
      }
      case 'range':
        questions.push({
          [`${name}_from`]: formatTimestamp(row[filter.column] ?? '2026-01-01'),
        });
        break;
      case 'present':
      case 'has':
        questions.push({ [name]: 'true' });
        break;
      case 'linked': {
        const [id] = filter.embed === 'devices' ? account.deviceIds : account.tagIds;
        questions.push({ [name]: String(id) });
        break;
      }
      default:
        filter satisfies never;
    }
  }
  if (list.search.length > 0)
    for (const search of ['na', 'name', '519000', 'c4ca4238']) questions.push({ search });
  return questions;
}

for (const size of ['large', 'small'] as const) {
  for (const table of GROWING) {
    it(`lists of ${table} take in no rows of other accounts, for a ${size} one`, async () => {
      const entity = ENTITIES.find((one) => one.table === table)!;
      const account = world[size];
      for (const raw of await questionsOf(entity, account)) {
        const query = listQuerySchema(entity).parse(raw);
        const plans = await world.explain(listStatement(entity, account, query));
        const growing = scansOfAnybody(plans).filter((scan) =>
          GROWING.some((name) => scan.includes(` on ${name} `)),
        );
        expect(growing, JSON.stringify(raw)).toEqual([]);
      }
    });
  }

  it(`the board takes in no rows of other accounts, for a ${size} one`, async () => {
    const query = boardQuerySchema().parse({});
    const plans = await world.explain(boardStatement(world[size].accountId, query));
    expect(scansOfAnybody(plans).filter((scan) => scan.includes(' on leads '))).toEqual([]);
  });
}
