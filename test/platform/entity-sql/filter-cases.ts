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
      return linkedCases(world, entity, { name, embed: filter.embed }, rows);
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
  if (several.length > 0)
    cases.push({ raw: { [name]: several.join(',') }, expected: where(several) });
  if (column?.kind === 'id' && column.nullable) {
    cases.push({ raw: { [name]: 'none' }, expected: where([null]) });
    for (const value of values.slice(0, 1))
      cases.push({ raw: { [name]: `none,${value}` }, expected: where([null, value]) });
  }
  return cases;
}

function rangeCases(name: string, column: string, rows: readonly TextRow[]): Case[] {
  const stamp = (row: TextRow): string => formatTimestamp(row[column] ?? '');
  // A row without a moment is in no range.
  const dated = rows.filter((row) => row[column] !== null);
  const stamps = dated.map(stamp).toSorted();
  const middle = stamps[Math.floor(stamps.length / 2)] ?? '';
  return [
    {
      raw: { [`${name}_from`]: middle },
      expected: idsOf(dated.filter((row) => stamp(row) >= middle)),
    },
    {
      raw: { [`${name}_to`]: middle },
      expected: idsOf(dated.filter((row) => stamp(row) < middle)),
    },
    { raw: { [`${name}_from`]: '2100-01-01', [`${name}_to`]: '2101-01-01' }, expected: [] },
  ];
}

async function linkedCases(
  world: World,
  entity: Entity,
  filter: { readonly name: string; readonly embed: string },
  rows: readonly TextRow[],
): Promise<Case[]> {
  const { name } = filter;
  const embed = entity.embeds[filter.embed];
  if (embed?.kind !== 'many') throw new Error('not a many embed');
  const links = await world.db.query(sql`
    select ${ident(embed.owner)} as owner, ${ident(embed.target)} as target
    from ${ident(embed.through)} where account_id = ${world.account.accountId}`);
  const has = (row: TextRow, target: string): boolean =>
    links.some((link) => link['owner'] === row['id'] && link['target'] === target);
  const pair = [...new Set(links.map((link) => link['target'] ?? ''))].slice(0, 2);
  const [first = ''] = pair;
  const any = rows.filter((row) => pair.some((target) => has(row, target)));
  const both = rows.filter((row) => pair.every((target) => has(row, target)));
  return [
    { raw: { [name]: first }, expected: idsOf(rows.filter((row) => has(row, first))) },
    { raw: { [name]: pair.join(',') }, expected: idsOf(any) },
    { raw: { [name]: pair.join(','), [`${name}_match`]: 'all' }, expected: idsOf(both) },
    { raw: { [name]: '9007199254740991' }, expected: [] },
  ];
}
