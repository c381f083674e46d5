import type { Entity } from '../../domain/entity.ts';
import { column, join, sql, type Sql } from '../sql.ts';
import { linkedFilters, matchesHere, searchedColumns } from './conditions.ts';
import type { ListQuery } from './list-query.ts';
import { tableOf } from './scope.ts';

/**
 * The searches and links of a list as tests of one row, for few rows at hand: conditions.ts has the same as what the whole
 * account's indexes find. Scalar subqueries on purpose: the planner cannot turn them into a join that reads every
 * link of the account for them.
 */
export type Probe = {
  /** Columns that the tests read of the row. */
  readonly columns: readonly string[];
  readonly passes: Sql;
};

/** Undefined: the list asks for neither. The row `alias` is of the account. */
export function probeOf(
  entity: Entity,
  alias: string,
  accountId: number,
  query: ListQuery,
): Probe | undefined {
  const tests: Sql[] = [];
  const columns = new Set(['id']);
  for (const { filter, value } of linkedFilters(entity, query)) {
    const embed = entity.embeds[filter.embed];
    if (embed?.kind !== 'many' || value.kind !== 'linked')
      throw new Error(`${entity.table}: not a linked filter`);
    const least = value.match === 'all' ? value.ids.length : 1;
    tests.push(sql`(
      select count(*)
      from ${tableOf(embed.through)} as link
      where link.account_id = ${accountId} and ${column('link', embed.owner)} = ${column(alias, 'id')}
        and ${column('link', embed.target)} = any(${value.ids})
    ) >= ${least}`);
  }
  if (query.search !== undefined) {
    const { own, embeds } = searchedColumns(entity);
    const ways = own.length > 0 ? [matchesHere(alias, own, query.search)] : [];
    for (const name of own) columns.add(name);
    for (const [name, shown] of embeds) {
      const embed = entity.embeds[name];
      if (embed?.kind !== 'one') throw new Error(`${entity.table}: ${name} cannot be searched`);
      columns.add(embed.by);
      ways.push(sql`(
        select ${matchesHere('shown', shown, query.search)}
        from ${tableOf(embed.table)} as shown
        where shown.account_id = ${accountId} and shown.id = ${column(alias, embed.by)}
      )`);
    }
    tests.push(sql`(${join(ways, ' or ')})`);
  }
  if (tests.length === 0) return undefined;
  return { columns: [...columns], passes: join(tests, ' and ') };
}
