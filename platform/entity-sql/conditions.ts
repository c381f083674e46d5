import type { Entity, ListFilter } from '../../domain/entity.ts';
import { column, join, sql, type Sql } from '../sql.ts';
import type { FilterValue } from './filter-value.ts';
import { inReach, tableOf, type Reach } from './scope.ts';

type Restriction = {
  readonly filters: Readonly<Record<string, FilterValue>>;
  readonly search: string | undefined;
};

/** Everything a list asks of the row `alias`, the account first. */
export function conditionsOf(entity: Entity, alias: string, reach: Reach, query: Restriction): Sql {
  const conditions = unsearchedConditions(entity, alias, reach, query);
  if (query.search === undefined) return conditions;
  return sql`${conditions} and ${searchCondition(entity, alias, reach.accountId, query.search)}`;
}

/** Everything but the search. */
export function unsearchedConditions(
  entity: Entity,
  alias: string,
  reach: Reach,
  query: Restriction,
): Sql {
  const { accountId } = reach;
  const conditions = [ownConditions(entity, alias, reach, query)];
  for (const { filter, value } of linkedFilters(entity, query))
    conditions.push(linkedCondition({ entity, alias, accountId, filter, value }));
  return join(conditions, ' and ');
}

/** What it asks of the row's own columns but their texts: everything that is no search and no link. */
export function ownConditions(
  entity: Entity,
  alias: string,
  reach: Reach,
  query: Restriction,
): Sql {
  const { accountId } = reach;
  const conditions = [inReach(entity, alias, reach)];
  for (const [name, filter] of Object.entries(entity.list?.filters ?? {})) {
    const value = query.filters[name];
    if (value && filter.kind !== 'linked')
      conditions.push(filterCondition({ entity, alias, accountId, filter, value }));
  }
  return join(conditions, ' and ');
}

/** The filters by link that are set. */
export function linkedFilters(entity: Entity, query: Restriction) {
  return Object.entries(entity.list?.filters ?? {}).flatMap(([name, filter]) => {
    const value = query.filters[name];
    return value && filter.kind === 'linked' ? [{ filter, value }] : [];
  });
}

type Place = {
  entity: Entity;
  alias: string;
  accountId: number;
  filter: ListFilter;
  value: FilterValue;
};

function filterCondition(place: Place): Sql {
  const { filter, value, alias } = place;
  if (filter.kind === 'linked') return linkedCondition(place);
  const at = column(alias, filter.column);
  switch (value.kind) {
    case 'equals': {
      const equals =
        value.values.length === 1
          ? sql`${at} = ${value.values[0]}`
          : sql`${at} = any(${value.values})`;
      if (!value.orNull) return equals;
      return value.values.length === 0 ? sql`${at} is null` : sql`(${at} is null or ${equals})`;
    }
    case 'range': {
      const bounds: Sql[] = [];
      if (value.from !== undefined) bounds.push(sql`${at} >= ${value.from}::timestamptz`);
      if (value.to !== undefined) bounds.push(sql`${at} < ${value.to}::timestamptz`);
      return join(bounds, ' and ');
    }
    case 'flag':
      if (filter.kind === 'present') return value.is ? sql`${at} is not null` : sql`${at} is null`;
      return value.is ? sql`${at} <> ''` : sql`(${at} is null or ${at} = '')`;
    case 'linked':
      throw new Error(`filter on ${filter.column} has a value of another kind`);
    default:
      return value satisfies never;
  }
}

function linkedCondition({ entity, alias, accountId, filter, value }: Place): Sql {
  const embed = filter.kind === 'linked' ? entity.embeds[filter.embed] : undefined;
  if (embed?.kind !== 'many' || value.kind !== 'linked')
    throw new Error(`${entity.table}: not a linked filter`);
  const linkedTo = (ids: readonly number[]): Sql => sql`${column(alias, 'id')} in (
    select ${column('link', embed.owner)}
    from ${tableOf(embed.through)} as link
    where link.account_id = ${accountId} and ${column('link', embed.target)} = any(${ids})
  )`;
  // One by one, so that the planner begins with the one that the fewest rows have.
  const each = value.match === 'all' ? value.ids.map((id) => [id]) : [value.ids];
  return join(each.map(linkedTo), ' and ');
}

/**
 * The text anywhere in one of the declared columns. Where columns of an embedded row are searched too, the ids come
 * from one query per table, each with its own index: an `or` over two tables would read every row of the account.
 */
function searchCondition(entity: Entity, alias: string, accountId: number, search: string): Sql {
  const { own, embeds } = searchedColumns(entity);
  if (embeds.size === 0) return matches(alias, own, search);
  const sources = searchSources(entity, accountId, search, {
    columns: sql`found.id`,
    conditions: inReach(entity, 'found', { accountId }),
  });
  return sql`${column(alias, 'id')} in (${join(sources, ' union all ')})`;
}

/**
 * Queries that together find every row whose texts hold what is searched, some of them twice: one for the row's own
 * columns, one for each table that it embeds. `columns` and `conditions` are of the row as `found`.
 */
export function searchSources(
  entity: Entity,
  accountId: number,
  search: string,
  { columns, conditions }: { columns: Sql; conditions: Sql },
): Sql[] {
  const { own, embeds } = searchedColumns(entity);
  const sources: Sql[] = [];
  if (own.length > 0) {
    sources.push(sql`
      select ${columns}
      from ${tableOf(entity.table)} as found
      where ${conditions} and ${matches('found', own, search)}`);
  }
  for (const [name, shownColumns] of embeds) {
    const embed = entity.embeds[name];
    if (embed?.kind !== 'one') throw new Error(`${entity.table}: ${name} cannot be searched`);
    sources.push(sql`
      select ${columns}
      from ${tableOf(embed.table)} as shown
      join ${tableOf(entity.table)} as found
        on found.account_id = shown.account_id and ${column('found', embed.by)} = shown.id
      where ${conditions} and shown.account_id = ${accountId}
        and ${matches('shown', shownColumns, search)}`);
  }
  return sources;
}

/** Columns a search looks into: the row's own, and those of its embeds by their names. */
export function searchedColumns(entity: Entity): {
  readonly own: readonly string[];
  readonly embeds: ReadonlyMap<string, readonly string[]>;
} {
  const paths = entity.list?.search ?? [];
  const embeds = new Map<string, string[]>();
  for (const path of paths) {
    const [embed, name] = path.split('.');
    if (embed !== undefined && name !== undefined)
      embeds.set(embed, [...(embeds.get(embed) ?? []), name]);
  }
  return { own: paths.filter((path) => !path.includes('.')), embeds };
}

/** That one of the columns holds the text, in the form that its trigram index serves. */
function matches(alias: string, columns: readonly string[], search: string): Sql {
  return anyMatch(columns, search, (name, pattern) => sql`${column(alias, name)} ilike ${pattern}`);
}

/**
 * The same of a row at hand. ILIKE folds the case of the pattern anew for every row; as a constant it is folded once, which
 * halves the time: https://www.postgresql.org/docs/current/functions-matching.html
 */
export function matchesHere(alias: string, columns: readonly string[], search: string): Sql {
  return anyMatch(columns, search, (name, pattern) =>
    name === PHONE
      ? sql`${column(alias, name)} like ${pattern}`
      : sql`lower(${column(alias, name)}) like lower(${pattern})`,
  );
}

function anyMatch(
  columns: readonly string[],
  search: string,
  match: (name: string, pattern: string) => Sql,
): Sql {
  const tests = columns.flatMap((name) =>
    patternsFor(name, search).map((pattern) => match(name, pattern)),
  );
  return tests.length === 0 ? sql`false` : sql`(${join(tests, ' or ')})`;
}

const PHONE = 'phone';
/** Fewer characters make no trigram, except with the blanks that pg_trgm sees before a word. */
const ANYWHERE_MIN = 3;

/**
 * Anywhere in the column, or at the beginning of a word when it is too short for the index. Phones are kept as digits:
 * whoever types `+51 999-888` means those, and no phone holds anything else.
 */
function patternsFor(name: string, search: string): string[] {
  const digits = search.replaceAll(/[\s()+.-]/g, '');
  const isNumber = /^\d+$/.test(digits);
  if (name === PHONE && !isNumber) return [];
  const text = name === PHONE ? digits : search;
  // Counted as Postgres counts them.
  if (Array.from(text).length >= ANYWHERE_MIN) return [containsPattern(text)];
  const begins = `${escapeLike(text)}%`;
  return name === PHONE ? [begins] : [begins, `% ${begins}`];
}

/** A LIKE pattern for this very text anywhere. https://www.postgresql.org/docs/current/functions-matching.html */
export function containsPattern(text: string): string {
  return `%${escapeLike(text)}%`;
}

function escapeLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, (character) => `\\${character}`);
}
