import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { contacts } from '../../../domain/entities/contacts.ts';
import { leads } from '../../../domain/entities/leads.ts';
import { ENTITIES } from '../../../domain/registry.ts';
import { listEntities, readEntity } from '../../../platform/entity-sql.ts';
import { listQuerySchema } from '../../../platform/entity-sql/list-query.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { ident, join, sql } from '../../../platform/sql.ts';
import { casesOf } from './filter-cases.ts';
import {
  ascending,
  idsOf,
  openWorld,
  shownByDefault,
  type Page,
  type World,
} from './list-world.ts';

const LISTED = ENTITIES.filter((entity) => entity.list).map(
  (entity) => [entity.table, entity] as const,
);

let world: World;

beforeAll(async () => {
  world = await openWorld();
});

afterAll(() => world.close());

describe.each(LISTED)('the list of %s', (_table, entity) => {
  it('has every row of the account that nothing hides, with its total', async () => {
    expect(ascending(await world.ids(entity))).toEqual(
      idsOf(shownByDefault(entity, await world.rowsOf(entity))),
    );
  });

  it('filters by each declared filter', async () => {
    for (const [name, filter] of Object.entries(entity.list?.filters ?? {})) {
      const cases = await casesOf(world, entity, name, filter);
      // A filter that never finds anything would pass for one that works.
      expect(cases.some(({ expected }) => expected.length > 0)).toBe(true);
      for (const { raw, expected } of cases) {
        expect({ raw, ids: ascending(await world.ids(entity, raw)) }).toEqual({
          raw,
          ids: expected,
        });
      }
    }
  });

  it('sorts by each declared sort, both ways, with the id as the last word', async () => {
    const hidden = Object.values(entity.list?.filters ?? {}).filter(
      (filter) => filter.kind === 'present',
    );
    for (const sort of entity.list?.sorts ?? []) {
      for (const order of ['asc', 'desc'] as const) {
        const direction = order === 'asc' ? sql`asc` : sql`desc`;
        const shown = join(
          [
            sql`account_id = ${world.account.accountId}`,
            ...hidden.map(({ column }) => sql`${ident(column)} is null`),
          ],
          ' and ',
        );
        const rows = await world.db.query(sql`
          select id from ${ident(entity.table)} where ${shown}
          order by ${ident(sort)} ${direction}, id ${direction}`);
        expect(await world.ids(entity, { sort, order })).toEqual(
          rows.map((row) => Number(row['id'])),
        );
      }
    }
  });

  it('gives the same rows in the same order by pages and by cursor', async () => {
    for (const sort of entity.list?.sorts ?? []) {
      for (const order of ['asc', 'desc'] as const) {
        const whole = await world.ids(entity, { sort, order });
        const byPage: number[] = [];
        const byCursor: number[] = [];
        let cursor: string | undefined;
        for (let page = 1; page <= whole.length; page++) {
          const one = await world.list(entity, { sort, order, limit: '1', page: String(page) });
          byPage.push(...one.data.map(({ id }) => id));
          expect(one).toMatchObject({ page, limit: 1, total: whole.length });
          const next = await world.list(entity, {
            sort,
            order,
            limit: '1',
            ...(cursor === undefined ? {} : { cursor }),
          });
          byCursor.push(...next.data.map(({ id }) => id));
          expect(next.total).toBe(whole.length);
          cursor = next.next_cursor;
          expect(cursor === undefined).toBe(page === whole.length);
        }
        expect(byPage).toEqual(whole);
        expect(byCursor).toEqual(whole);
      }
    }
  });

  it('finds what is searched in each declared column, whatever its case, and nothing by a wildcard', async () => {
    const rows = shownByDefault(entity, await world.rowsOf(entity));
    for (const column of (entity.list?.search ?? []).filter((path) => !path.includes('.'))) {
      const text =
        rows
          .map((row) => row[column])
          .find((value) => typeof value === 'string' && value.length > 3) ?? '';
      const found = await world.ids(entity, { search: text.slice(1).toUpperCase() });
      const expected = rows.filter((row) =>
        row[column]?.toUpperCase().includes(text.slice(1).toUpperCase()),
      );
      for (const id of idsOf(expected)) expect(found).toContain(id);
    }
    if ((entity.list?.search ?? []).length === 0) return;
    for (const search of ['%', '_', '\\', "'", '"; drop table public.leads; --'])
      expect(await world.ids(entity, { search })).toEqual([]);
  });

  it('shows each row as it is read alone', async () => {
    const query = listQuerySchema(entity).parse({ limit: '200' });
    const body = await listEntities(world.db, entity, {
      accountId: world.account.accountId,
      query,
    });
    const { data } = JSON.parse(body) as Page;
    expect(data.length).toBeGreaterThan(0);
    for (const { id } of data) {
      const row = await readEntity(world.db, entity, { accountId: world.account.accountId, id });
      expect(body).toContain(row);
    }
  });
});

describe('the list of leads', () => {
  it('is one statement, with stage, contact and tags', async () => {
    const statements: unknown[] = [];
    const counting: Queries = {
      query: (statement, options) => {
        statements.push(statement);
        return world.db.query(statement, options);
      },
    };
    const query = listQuerySchema(leads).parse({ sort: 'value' });
    const body = await listEntities(counting, leads, { accountId: world.account.accountId, query });
    expect(statements).toHaveLength(1);
    const { data } = JSON.parse(body) as {
      data: { stage: { id: number }; stage_id: number; contact: object; tags: object[] }[];
    };
    for (const lead of data) {
      expect(lead.stage.id).toBe(lead.stage_id);
      expect(Object.keys(lead.contact)).toContain('display_name');
    }
    expect(data.some((lead) => lead.tags.length > 1)).toBe(true);
    expect(data.some((lead) => lead.tags.length === 0)).toBe(true);
  });

  it('finds leads by their contact, and a phone however it is written', async () => {
    const [contact] = await world.db.query(sql`
      select id, phone, display_name from public.contacts where account_id = ${world.account.accountId} and phone is not null limit 1`);
    const of = (await world.rowsOf(leads)).filter(
      (row) =>
        row['contact_id'] === contact?.['id'] &&
        row['archived_at'] === null &&
        row['deleted_at'] === null,
    );
    expect(ascending(await world.ids(leads, { search: contact?.['display_name'] ?? '' }))).toEqual(
      idsOf(of),
    );
    const phone = contact?.['phone'] ?? '';
    expect(
      ascending(
        await world.ids(leads, {
          search: `+${phone.slice(0, 2)} ${phone.slice(2, 5)}-${phone.slice(5)}`,
        }),
      ),
    ).toEqual(idsOf(of));
  });

  it('finds one or two characters where words begin, and longer texts anywhere', async () => {
    const { accountId } = world.account;
    await world.db.query(sql`
      insert into public.contacts (account_id, custom_name, phone)
      values (${accountId}, 'Zöe Xwilliams', null), (${accountId}, 'Oxwall', null), (${accountId}, '%wx', '51777')`);
    const names = async (search: string): Promise<unknown[]> => {
      const { data } = await world.list(contacts, { search, sort: 'created_at' });
      return data.map((row) => (row as { display_name?: unknown }).display_name);
    };
    expect(await names('xw')).toEqual(['Zöe Xwilliams']);
    expect(await names('XW')).toEqual(['Zöe Xwilliams']);
    expect(await names('ZÖ')).toEqual(['Zöe Xwilliams']);
    expect(await names('xwa')).toEqual(['Oxwall']);
    expect(await names('XWI')).toEqual(['Zöe Xwilliams']);
    expect(await names('%w')).toEqual(['%wx']);
    expect(await names('+51 777')).toEqual(['%wx']);
    expect(await names('77')).toEqual([]);
  });

  it('is an empty list when nothing fits', async () => {
    expect(await world.list(leads, { search: 'nobody has this' })).toEqual({
      data: [],
      total: 0,
      page: 1,
      limit: 200,
    });
    expect(await world.list(leads, { page: '10000' })).toMatchObject({ data: [], page: 10_000 });
  });
});
