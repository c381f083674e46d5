import { publishedColumns, type Entity } from '../../domain/entity.ts';
import { column, flatten, ident, join, sql, type Sql } from '../sql.ts';

/** `"public"."leads"`: never resolved by a search path. */
export function tableOf(table: string): Sql {
  return sql`${ident('public')}.${ident(table)}`;
}

/** Whose rows: of the account, and where a role is restricted to some devices, of those. */
export type Reach = {
  readonly accountId: number;
  /** Undefined: every device of the account. */
  readonly devices?: readonly number[] | undefined;
};

/** That a row is one of those. */
export function inReach(entity: Entity, alias: string, { accountId, devices }: Reach): Sql {
  const own = inAccount(entity, alias, accountId);
  if (devices === undefined || entity.device === undefined) return own;
  const through = column(alias, entity.device);
  const listed = sql`${through} = any(${[...devices]}::bigint[])`;
  const seen = entity.deviceless === 'shown' ? sql`(${through} is null or ${listed})` : listed;
  return sql`${own} and ${seen}`;
}

/**
 * That a row belongs to the account. The account itself by its id; a user, who has no account of his own, by a membership in it.
 */
function inAccount(entity: Entity, alias: string, accountId: number): Sql {
  switch (entity.scope) {
    case 'tenant':
      return sql`${column(alias, 'account_id')} = ${accountId}`;
    case 'account':
      return sql`${column(alias, 'id')} = ${accountId}`;
    case 'global':
      return sql`exists (
        select from public.memberships as membership
        where membership.account_id = ${accountId} and membership.user_id = ${column(alias, 'id')}
      )`;
    default:
      return entity.scope satisfies never;
  }
}

/** A fragment that follows from an entity and an alias alone is put together once: it is most of a statement's text. */
export function oncePerEntity<A extends string[]>(
  make: (entity: Entity, ...aliases: A) => Sql,
): (entity: Entity, ...aliases: A) => Sql {
  const made = new WeakMap<Entity, Map<string, Sql>>();
  return (entity, ...aliases) => {
    const known = made.get(entity) ?? new Map<string, Sql>();
    made.set(entity, known);
    const key = aliases.join(' ');
    const fragment = known.get(key) ?? flatten(make(entity, ...aliases));
    known.set(key, fragment);
    return fragment;
  };
}

/** The published columns as Postgres prints them; the driver parses nothing. */
export const selectColumns = oncePerEntity((entity: Entity, alias: string): Sql =>
  join(publishedColumns(entity).map((name) => sql`${column(alias, name)} as ${ident(name)}`)),
);
