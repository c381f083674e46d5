import { z } from 'zod';
import { id, timestamp, type Column, type ColumnKind } from './column.ts';
import type { Permission } from './permission.ts';

/**
 * One declaration per table drives REST, SQL, cache families, publication, feed, types and tests.
 *
 * Scope: `tenant` rows belong to an account by account_id; `account` is the accounts table itself (its id is
 * the account); `global` rows (users) belong to nobody and never enter a feed.
 */
export type Scope = 'tenant' | 'account' | 'global';

/** Another table's rows shown inside this one's. Embeds decide which cache families a change reaches into. */
export type Embed =
  /** The row that `by` of this table points to. */
  | { kind: 'one'; table: string; by: string; columns: readonly string[] }
  /** The rows linked to this one by table `through`, whose columns are `owner` (us) and `target` (them). */
  | {
      kind: 'many';
      table: string;
      through: string;
      owner: string;
      target: string;
      columns: readonly string[];
      order: string;
    }
  /** The rows of `table` whose column `by` points to us. */
  | { kind: 'children'; table: string; by: string; columns: readonly string[]; order: string };

/** A query parameter of the list. Its name is the key in `filters`. */
export type ListFilter =
  /** `?name=v` equals the column; several values with commas are any of them. */
  | { kind: 'equals'; column: string }
  /** `?name_from=` inclusive, `?name_to=` exclusive. */
  | { kind: 'range'; column: string }
  /**
   * `true`: only rows whose column is set; otherwise only rows where it is not. Absent means false, but where the
   * filter `unless` is true: then it means both. (What is in the trash is there whether it was archived or not.)
   */
  | { kind: 'present'; column: string; unless?: string }
  /** `true`: the column is set and not empty; `false`: it is not. Absent means both. */
  | { kind: 'has'; column: string }
  /** `?name=1,2&name_match=any|all`: linked to any (default) or all of these by the `many` embed. */
  | { kind: 'linked'; embed: string };

export type ListDeclaration = {
  readonly filters: Readonly<Record<string, ListFilter>>;
  /** Columns searched by `search`, `column` of this table or `embed.column` of a `one` embed. */
  readonly search: readonly string[];
  /** Every sort has an index `(account_id, column, id)`. */
  readonly sorts: readonly string[];
  readonly sort: string;
  readonly order: 'asc' | 'desc';
};

/** Which answers are kept in Redis. */
export type Caching = {
  readonly row: boolean;
  readonly list: boolean;
  /** Column of the identity that names another row, of which these are the newest: a chat's first page of messages. */
  readonly page: string | undefined;
};

export type Columns = Readonly<Record<string, Column>>;

export type Entity<C extends Columns = Columns> = {
  readonly table: string;
  /** Singular, as in messages and OpenAPI: `lead`. */
  readonly singular: string;
  readonly scope: Scope;
  /** Needed to see or to write rows, by REST and in the feed. Undefined: every member of the account. */
  readonly permission: Permission | undefined;
  /** In the order in which REST and the feed show them. */
  readonly columns: C;
  /** Columns of the replica identity, account first: what a DELETE still carries. */
  readonly identity: readonly string[];
  /** Columns by which a feed subscription may filter. */
  readonly feedFilters: readonly string[];
  /**
   * Column that says through which device a row came: a role that is restricted to some devices sees no others' rows,
   * by REST and in the feed. Undefined: the row has nothing to do with devices.
   */
  readonly device: string | undefined;
  /** Whether such a role sees rows of no device. */
  readonly deviceless: 'shown' | 'hidden';
  readonly embeds: Readonly<Record<string, Embed>>;
  readonly list: ListDeclaration | undefined;
  readonly cache: Caching;
  /** Generic routes: `crud`, only reads, or none (commands and plugins serve it). */
  readonly rest: 'crud' | 'read' | 'none';
};

type Declaration<C extends Columns> = {
  table: string;
  singular: string;
  scope?: Scope;
  permission?: Permission;
  columns: C;
  identity?: readonly string[];
  feedFilters?: readonly ((keyof C & string) | 'id')[];
  device?: string;
  deviceless?: 'shown' | 'hidden';
  embeds?: Readonly<Record<string, Embed>>;
  list?: ListDeclaration;
  cache?: { row: boolean; list: boolean; page?: keyof C & string };
  rest?: 'crud' | 'read' | 'none';
};

const stamps = { created_at: timestamp(), updated_at: timestamp() };

export type CommonColumns = typeof stamps & { id: Column<'id', false> };
export type TenantColumns = CommonColumns & { account_id: Column<'id', false> };

/** A row of an account. Adds id, account_id, created_at, updated_at. @throws Error on a slip in the declaration. */
export function defineEntity<const C extends Columns>(
  declaration: Declaration<C>,
): Entity<C & TenantColumns> {
  const own = { id: id(), account_id: id({ references: 'accounts' }) };
  return complete(
    { ...declaration, columns: { ...own, ...declaration.columns, ...stamps } },
    'tenant',
    ['account_id', 'id'],
  );
}

/** accounts and users: tables without account_id. Adds id, created_at, updated_at. */
export function defineControlEntity<const C extends Columns>(
  declaration: Declaration<C> & { scope: 'account' | 'global' },
): Entity<C & CommonColumns> {
  const columns = { id: id(), ...declaration.columns, ...stamps };
  return complete({ ...declaration, columns }, declaration.scope, ['id']);
}

function complete<C extends Columns>(
  declaration: Omit<Declaration<C>, 'feedFilters'> & { feedFilters?: readonly string[] },
  scope: Scope,
  identity: readonly string[],
): Entity<C> {
  const entity: Entity<C> = {
    table: declaration.table,
    singular: declaration.singular,
    scope,
    permission: declaration.permission,
    columns: declaration.columns,
    identity: declaration.identity ?? identity,
    feedFilters: declaration.feedFilters ?? [],
    device: declaration.device,
    deviceless: declaration.deviceless ?? 'hidden',
    embeds: declaration.embeds ?? {},
    list: declaration.list,
    cache: { row: false, list: false, page: undefined, ...declaration.cache },
    rest: declaration.rest ?? 'none',
  };
  assertDeclaration(entity);
  return entity;
}

function assertDeclaration(entity: Entity): void {
  const fail = (why: string): never => {
    throw new Error(`entity ${entity.table}: ${why}`);
  };
  const known = (name: string): void => {
    if (!entity.columns[name]?.published) fail(`${name} is not a published column`);
  };
  if (!/^[a-z_]{1,40}$/.test(entity.table)) fail('its name is not snake_case');
  if (entity.scope === 'tenant' && entity.identity[0] !== 'account_id')
    fail('identity starts with account_id');
  for (const name of entity.identity) {
    known(name);
    if (entity.columns[name]?.nullable) fail(`${name} in the identity may be null`);
  }
  entity.feedFilters.forEach(known);
  if (entity.device !== undefined) {
    known(entity.device);
    // The feed must know the device of a change, of a delete too.
    if (!entity.feedFilters.includes(entity.device))
      fail(`its device ${entity.device} is not a feed filter`);
  }
  const { page } = entity.cache;
  if (page !== undefined) {
    if (!entity.identity.includes(page)) fail(`${page} of its pages is not in the identity`);
    if (entity.columns[page]?.references === undefined) fail(`${page} of its pages names no row`);
  }
  if (entity.list) {
    entity.list.sorts.forEach(known);
    if (!entity.list.sorts.includes(entity.list.sort)) fail('default sort is not among the sorts');
    for (const filter of Object.values(entity.list.filters)) {
      if (filter.kind === 'linked') {
        if (entity.embeds[filter.embed]?.kind !== 'many')
          fail(`${filter.embed} is not a many embed`);
      } else known(filter.column);
      if (filter.kind === 'present' && filter.unless !== undefined) {
        if (entity.list.filters[filter.unless]?.kind !== 'present')
          fail(`${filter.unless} is not a present filter`);
      }
    }
  }
}

type JsonValue<K extends ColumnKind> = K extends 'id' | 'int' | 'numeric'
  ? number
  : K extends 'boolean'
    ? boolean
    : K extends 'json'
      ? Record<string, unknown>
      : K extends 'text_array'
        ? string[]
        : K extends 'id_array'
          ? number[]
          : string;

/** A row as REST and the feed show it: what is null in Postgres is absent. */
export type RowOf<E extends Entity> = {
  [P in keyof E['columns'] as E['columns'][P]['nullable'] extends false ? P : never]: JsonValue<
    E['columns'][P]['kind']
  >;
} & {
  [P in keyof E['columns'] as E['columns'][P]['nullable'] extends false ? never : P]?: JsonValue<
    E['columns'][P]['kind']
  >;
};

/** Published column names in their order: the publication's column list and every select list. */
export function publishedColumns(entity: Entity): string[] {
  return Object.keys(entity.columns).filter((name) => entity.columns[name]?.published);
}

/** The account's column in this table, undefined for global ones. */
export function accountColumn(entity: Entity): string | undefined {
  if (entity.scope === 'global') return undefined;
  return entity.scope === 'account' ? 'id' : 'account_id';
}

/** Columns of a change's `key`: the identity without the account, which the socket knows. */
export function keyColumns(entity: Entity): string[] {
  return entity.identity.filter((name) => name !== 'account_id');
}

/** Schema of a row in an answer. */
export function rowSchema(entity: Entity): z.ZodObject {
  const shape: Record<string, z.ZodType> = {};
  for (const name of publishedColumns(entity)) {
    const column = entity.columns[name];
    if (column)
      shape[name] = column.nullable || column.permission ? column.value.optional() : column.value;
  }
  return z.object(shape);
}

/** Schema of a POST body: unknown members are refused, so that a misspelt one is not lost in silence. */
export function createSchema(entity: Entity): z.ZodObject {
  const shape: Record<string, z.ZodType> = {};
  for (const [name, column] of Object.entries(entity.columns)) {
    if (column.write === 'never') continue;
    if (column.required) shape[name] = column.value;
    else shape[name] = column.nullable ? column.value.nullish() : column.value.optional();
  }
  return z.strictObject(shape);
}

/** Schema of a PATCH body: null clears a column that may be null; at least one member. */
export function patchSchema(entity: Entity): z.ZodType<Record<string, unknown>> {
  const shape: Record<string, z.ZodType> = {};
  for (const [name, column] of Object.entries(entity.columns)) {
    if (column.write !== 'always') continue;
    shape[name] = column.nullable ? column.value.nullish() : column.value.optional();
  }
  return z
    .strictObject(shape)
    .refine((body) => Object.keys(body).length > 0, 'has nothing to change');
}
