import type { Entity, ListFilter } from '../../../domain/entity.ts';
import { formatTimestamp } from '../../../domain/row-json.ts';
import type { TextRow } from '../../../platform/postgres.ts';
import { ident, sql } from '../../../platform/sql.ts';
import { idsOf, shownByDefault, type World } from './list-world.ts';

/** A query and the ids it must give, in ascending order. */
export type Case = { readonly raw: Record<string, string>; readonly expected: number[] };

/** Queries of one filter and what they must give, found by looking at every row of the account. */
export async function casesOf(
  world: World,
  entity: Entity,
  name: string,
  filter: ListFilter,
): Promise<Case[]> {
  const all = await world.rowsOf(entity);
  const rows = shownByDefault(entity, all);
  switch (filter.kind) {
    case 'equals':
      return equalsCases(entity, name, filter.column, rows);
    case 'range':
      return rangeCases(name, filter.column, rows);
    case 'present': {
      const others = Object.values(entity.list?.filters ?? {}).filter(
        (other) =>
          other.kind === 'present' && other.column !== filter.column && other.unless !== name,
      );
      const isSet = (row: TextRow): boolean =>
        row[filter.column] !== null &&
        others.every((other) => other.kind === 'present' && row[other.column] === null);
      return [
        { raw: { [name]: 'true' }, expected: idsOf(all.filter(isSet)) },
        { raw: { [name]: 'false' }, expected: idsOf(rows) },
      ];
    }
    case 'has':
      return [
        { raw: { [name]: 'true' }, expected: idsOf(rows.filter((row) => row[filter.column])) },
        { raw: { [name]: 'false' }, expected: idsOf(rows.filter((row) => !row[filter.column])) },
      ];
    case 'linked':
      return linkedCases(world, entity, name, rows);
    default:
      return filter satisfies never;
  }
}

function equalsCases(
  entity: Entity,
  name: string,
  columnName: string,
  rows: readonly TextRow[],
): Case[] {
  const column = entity.columns[columnName];
  const isBoolean = column?.kind === 'boolean';
  const values = [...new Set(rows.map((row) => row[columnName]))].filter(
    (value) => typeof value === 'string',
  );
  const where = (wanted: readonly (string | null)[]): number[] =>
    idsOf(rows.filter((row) => wanted.includes(row[columnName] ?? null)));
  const cases = values.map((value) => ({
    raw: { [name]: isBoolean ? String(value === 't') : value },
    expected: where([value]),
  }));
  if (isBoolean) return cases;
  const several = values.slice(0, 2);
  cases.push({ raw: { [name]: several.join(',') }, expected: where(several) });
  if (column?.kind === 'id' && column.nullable) {
    cases.push({ raw: { [name]: 'none' }, expected: where([null]) });
    cases.push({
      raw: { [name]: `none,${values[0]}` },
      expected: where([null, values[0] ?? null]),
    });
  }
  return cases;
}

function rangeCases(name: string, column: string, rows: readonly TextRow[]): Case[] {
  const stamp = (row: TextRow): string => formatTimestamp(row[column] ?? '');
  const stamps = rows.map(stamp).toSorted();
  const middle = stamps[Math.floor(stamps.length / 2)] ?? '';
  return [
    {
      raw: { [`${name}_from`]: middle },
      expected: idsOf(rows.filter((row) => stamp(row) >= middle)),
    },
    { raw: { [`${name}_to`]: middle }, expected: idsOf(rows.filter((row) => stamp(row) < middle)) },
    { raw: { [`${name}_from`]: '2100-01-01', [`${name}_to`]: '2101-01-01' }, expected: [] },
  ];
}

async function linkedCases(
  world: World,
  entity: Entity,
  name: string,
  rows: readonly TextRow[],
): Promise<Case[]> {
  const embed = entity.embeds['tags'];
  if (embed?.kind !== 'many') throw new Error('not a many embed');
  const links = await world.db.query(sql`
    select ${ident(embed.owner)} as owner, ${ident(embed.target)} as target
    from ${ident(embed.through)} where account_id = ${world.account.accountId}`);
  const has = (row: TextRow, tag: number): boolean =>
    links.some((link) => link['owner'] === row['id'] && link['target'] === String(tag));
  const pair = world.account.tagIds.slice(1, 3);
  const [first = 0] = pair;
  const any = rows.filter((row) => pair.some((tag) => has(row, tag)));
  const both = rows.filter((row) => pair.every((tag) => has(row, tag)));
  return [
    { raw: { [name]: String(first) }, expected: idsOf(rows.filter((row) => has(row, first))) },
    { raw: { [name]: pair.join(',') }, expected: idsOf(any) },
    { raw: { [name]: pair.join(','), [`${name}_match`]: 'all' }, expected: idsOf(both) },
    { raw: { [name]: '9007199254740991' }, expected: [] },
  ];
}
