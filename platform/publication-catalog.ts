import type { Queries, TextRow } from './postgres.ts';
import { sql } from './sql.ts';

/** A publication as the catalogs have it. Tables are `schema.name`. */
export type ActualPublication = {
  readonly allTables: boolean;
  readonly schemas: readonly string[];
  readonly missingOperations: readonly string[];
  readonly viaRoot: boolean;
  readonly tables: ReadonlyMap<
    string,
    { readonly columns: readonly string[]; readonly rowFilter: string | null }
  >;
};

type ActualColumn = {
  readonly type: string;
  readonly nullable: boolean;
  readonly generated: boolean;
};

export type ActualTable = {
  /** Not partitioned, not unlogged, not a view. */
  readonly isPlain: boolean;
  readonly identity: {
    readonly kind: 'default' | 'nothing' | 'full' | 'index';
    /** Name of the index, where one is in use. */
    readonly index: string | null;
    readonly columns: readonly string[];
  };
  readonly columns: ReadonlyMap<string, ActualColumn>;
  /** Triggers that call a function of schema clarin. */
  readonly triggers: ReadonlyMap<
    string,
    { readonly isAlways: boolean; readonly arguments: readonly string[] }
  >;
};

const list = (text: string | null | undefined): string[] => JSON.parse(text ?? '[]') as string[];

/** https://www.postgresql.org/docs/current/catalog-pg-publication.html; column lists and row filters are there from 15 on. */
export async function readPublication(
  db: Queries,
  name: string,
): Promise<ActualPublication | undefined> {
  const [row] = await db.query(sql`
    select puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot,
      (
        select coalesce(json_agg(namespace.nspname order by namespace.nspname), '[]')
        from pg_publication_namespace as member
        join pg_namespace as namespace on namespace.oid = member.pnnspid
        where member.pnpubid = publication.oid
      ) as schemas
    from pg_publication as publication
    where pubname = ${name}`);
  if (!row) return undefined;
  const tables = await db.query(sql`
    select namespace.nspname || '.' || class.relname as name,
      pg_get_expr(member.prqual, member.prrelid) as row_filter,
      (
        select coalesce(json_agg(attribute.attname order by attribute.attnum), '[]')
        from pg_attribute as attribute
        where attribute.attrelid = class.oid and attribute.attnum > 0 and not attribute.attisdropped
          and (member.prattrs is null or attribute.attnum = any(member.prattrs::int2[]))
      ) as columns
    from pg_publication as publication
    join pg_publication_rel as member on member.prpubid = publication.oid
    join pg_class as class on class.oid = member.prrelid
    join pg_namespace as namespace on namespace.oid = class.relnamespace
    where publication.pubname = ${name}`);
  const operations = ['insert', 'update', 'delete', 'truncate'];
  return {
    allTables: row['puballtables'] === 't',
    schemas: list(row['schemas']),
    missingOperations: operations.filter((operation) => row[`pub${operation}`] !== 't'),
    viaRoot: row['pubviaroot'] === 't',
    tables: new Map(
      tables.map((table) => [
        table['name'] ?? '',
        { columns: list(table['columns']), rowFilter: table['row_filter'] ?? null },
      ]),
    ),
  };
}

/**
 * Moves whenever the publication is altered, also when it was put back since: what was written meanwhile was not streamed.
 * By the transactions that wrote its catalog rows, so it costs nothing and forgets nothing. Empty when there is none.
 */
export async function readPublicationVersion(db: Queries, name: string): Promise<string> {
  const [row] = await db.query(sql`
    select publication.oid || ':' || publication.xmin || ' ' || coalesce((
        select string_agg(member.oid || ':' || member.xmin, ' ' order by member.oid)
        from pg_publication_rel as member
        where member.prpubid = publication.oid
      ), '') as version
    from pg_publication as publication
    where publication.pubname = ${name}`);
  return row?.['version'] ?? '';
}

const IDENTITY_KINDS = { d: 'default', n: 'nothing', f: 'full', i: 'index' } as const;

/** Tables of schema public by name; those that do not exist are absent. */
export async function readTables(
  db: Queries,
  names: readonly string[],
): Promise<Map<string, ActualTable>> {
  const rows = await db.query(sql`
    select class.relname as name, class.relreplident as identity_kind,
      class.relkind = 'r' and class.relpersistence = 'p' as is_plain,
      identity.index_name, coalesce(identity.columns, '[]') as identity_columns,
      (
        select coalesce(json_agg(json_build_array(
          attribute.attname, format_type(attribute.atttypid, attribute.atttypmod),
          (not attribute.attnotnull)::text, (attribute.attgenerated <> '')::text
        )), '[]')
        from pg_attribute as attribute
        where attribute.attrelid = class.oid and attribute.attnum > 0 and not attribute.attisdropped
      ) as columns,
      (
        select coalesce(json_agg(json_build_array(
          trigger.tgname, (trigger.tgenabled = 'A')::text, encode(trigger.tgargs, 'hex')
        )), '[]')
        from pg_trigger as trigger
        join pg_proc as function on function.oid = trigger.tgfoid
        where trigger.tgrelid = class.oid and not trigger.tgisinternal
          and function.pronamespace = to_regnamespace('clarin')
      ) as triggers
    from pg_class as class
    left join lateral (
      select index_class.relname as index_name,
        (
          select json_agg(attribute.attname order by place.ordinality)
          from unnest(index.indkey::int2[]) with ordinality as place (attnum, ordinality)
          join pg_attribute as attribute on attribute.attrelid = class.oid and attribute.attnum = place.attnum
        ) as columns
      from pg_index as index
      join pg_class as index_class on index_class.oid = index.indexrelid
      where index.indrelid = class.oid
        and case class.relreplident when 'i' then index.indisreplident when 'd' then index.indisprimary end
    ) as identity on true
    where class.relnamespace = to_regnamespace('public') and class.relkind in ('r', 'p')
      and class.relname = any(${names})`);
  return new Map(rows.map((row) => [row['name'] ?? '', readTable(row)]));
}

function readTable(row: TextRow): ActualTable {
  const kind = row['identity_kind'];
  const columns = JSON.parse(row['columns'] ?? '[]') as [string, string, string, string][];
  const triggers = JSON.parse(row['triggers'] ?? '[]') as [string, string, string][];
  return {
    isPlain: row['is_plain'] === 't',
    identity: {
      kind: IDENTITY_KINDS[kind === 'd' || kind === 'f' || kind === 'i' ? kind : 'n'],
      index: row['index_name'] ?? null,
      columns: list(row['identity_columns']),
    },
    columns: new Map(
      columns.map(([name, type, nullable, generated]) => [
        name,
        { type, nullable: nullable === 'true', generated: generated === 'true' },
      ]),
    ),
    triggers: new Map(
      triggers.map(([name, always, hex]) => [
        name,
        { isAlways: always === 'true', arguments: readArguments(hex) },
      ]),
    ),
  };
}

/** pg_trigger.tgargs: each argument ends with a NUL. */
function readArguments(hex: string): string[] {
  return Buffer.from(hex, 'hex').toString('utf8').split('\0').slice(0, -1);
}
