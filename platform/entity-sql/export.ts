import { z } from 'zod';
import { publishedColumns, type Embed, type Entity } from '../../domain/entity.ts';
import { mustFindEntity } from '../../domain/registry.ts';
import { formatTimestamp } from '../../domain/row-json.ts';
import type { Queries, TextRow } from '../postgres.ts';
import { column, empty, sql, typeName, type Sql } from '../sql.ts';
import type { Sees } from './body.ts';
import { conditionsOf } from './conditions.ts';
import { embedAlias, joinEmbeds, selectEmbeds } from './embeds.ts';
import { describeFilters, type FilterValue } from './filter-value.ts';
import type { Keyset } from './keyset.ts';
import {
  mustColumn,
  mustList,
  readFilters,
  readSearch,
  readSort,
  sortShape,
  type Complain,
  type RawQuery,
} from './list-query.ts';
import { ascOrDesc } from './keyset-order.ts';
import { selectColumns, tableOf, type Reach } from './scope.ts';

/**
 * A whole list as rows of texts, read in batches by keyset: memory and statements stay small however long it is.
 *
 * Each batch is as new as its statement. A row that stands still meanwhile comes exactly once; one that is made,
 * deleted or changed in what it is sorted by may come or not, and with a sort that moves (updated_at) come twice.
 */
const BATCH_ROWS = 1_000;
/** More columns are of no use to anybody, and no importer takes them. */
const CUSTOM_FIELDS_MAX = 200;
const CUSTOM = 'custom_fields';
/** For screens only. */
const NOT_EXPORTED = new Set(['color', 'avatar_url']);
const E164 = /^[1-9]\d{5,14}$/;

export type ExportQuery = {
  readonly sort: string;
  readonly order: 'asc' | 'desc';
  readonly search: string | undefined;
  readonly filters: Readonly<Record<string, FilterValue>>;
};

const own = {
  separator: z
    .enum([',', ';', 'tab'])
    .default(',')
    .describe('A spreadsheet set to Spanish wants ;'),
  bom: z.enum(['true', 'false']).default('false').describe('A mark that Excel needs for UTF-8'),
};

export type ExportFormat = z.output<z.ZodObject<typeof own>>;

/** Schema of the query string of an export: the list's filters, search and sort, and how the file is written. */
export function exportQuerySchema(entity: Entity): z.ZodType<ExportQuery & ExportFormat> {
  const list = mustList(entity);
  return z
    .strictObject({ ...own, ...sortShape(list), ...describeFilters(entity, list.filters) })
    .transform((raw, context): ExportQuery & ExportFormat => {
      const complain: Complain = (name, message) => {
        context.issues.push({ code: 'custom', path: [name], message, input: raw });
      };
      const texts = raw as RawQuery;
      const search = readSearch(texts['search'], complain, []);
      const filters = readFilters(entity, {
        filters: list.filters,
        raw: texts,
        complain,
        written: [],
      });
      if (!filters) return z.NEVER;
      const { separator, bom } = raw as ExportFormat;
      return { ...readSort(list, texts, []), search, filters, separator, bom };
    });
}

export type Export = {
  readonly header: readonly string[];
  /** Texts in the order of the header, a batch at a time. */
  readonly rows: AsyncGenerator<readonly string[], void, undefined>;
};

type Options = Reach & {
  readonly query: ExportQuery;
  readonly sees: Sees;
  readonly signal: AbortSignal;
};

/** A column of the file: its title, and its text of a row. */
type Field = { readonly title: string; readonly read: (row: TextRow) => string };

/**
 * Which columns there are, and the rows. The first batch is read before it answers, so that what is wrong with a query
 * is known before anything was written. @throws ClarinError; `rows` throws it too.
 */
export async function openExport(db: Queries, entity: Entity, options: Options): Promise<Export> {
  const names = await findCustomFields(db, entity, options);
  const columns = publishedColumns(entity).filter((name) => {
    const { kind, permission } = mustColumn(entity, name);
    // Whose they are is known to whoever has the file.
    if (name === 'account_id' || kind === 'json') return false;
    return permission === undefined || options.sees(permission);
  });
  const fields = [
    ...columns.map((name) => ownField(entity, name)),
    ...Object.entries(entity.embeds).flatMap(([name, embed]) => embedFields(name, embed, options)),
  ];
  const first = await readBatch(db, entity, options, undefined);
  const read = (row: TextRow): string[] => {
    const custom = parseObject(row[CUSTOM]);
    return [
      ...fields.map((field) => field.read(row)),
      ...names.map((name) => textOf(Object.hasOwn(custom, name) ? custom[name] : undefined)),
    ];
  };
  async function* rows(): AsyncGenerator<readonly string[], void, undefined> {
    let batch = first;
    for (;;) {
      for (const row of batch) yield read(row);
      const last = batch.at(-1);
      if (!last || batch.length < BATCH_ROWS) return;
      const after = { value: last[options.query.sort] ?? '', id: Number(last['id']) };
      batch = await readBatch(db, entity, options, after);
    }
  }
  const header = [...fields.map(({ title }) => title), ...names.map((name) => `${CUSTOM}.${name}`)];
  return { header, rows: rows() };
}

function readBatch(
  db: Queries,
  entity: Entity,
  options: Options,
  after: Keyset | undefined,
): Promise<TextRow[]> {
  return db.query(batchStatement(entity, options, after), { signal: options.signal });
}

function batchStatement(entity: Entity, options: Options, after: Keyset | undefined): Sql {
  const { sort, order } = options.query;
  const direction = ascOrDesc(order);
  const at = column('candidate', sort);
  const compare = order === 'asc' ? sql`>` : sql`<`;
  const type = typeName(mustColumn(entity, sort).pgType);
  const behind = after
    ? sql` and (${at}, candidate.id) ${compare} (${after.value}::${type}, ${after.id}::bigint)`
    : empty;
  return sql`
    select ${selectColumns(entity, 'entity')}${selectEmbeds(entity)}
    from (
      select candidate.id, ${at} as sorted_by
      from ${tableOf(entity.table)} as candidate
      where ${conditionsOf(entity, 'candidate', options, options.query)}${behind}
      order by ${at} ${direction}, candidate.id ${direction}
      limit ${BATCH_ROWS}
    ) as page
    join ${tableOf(entity.table)} as entity on entity.id = page.id
    ${joinEmbeds(entity, 'entity')}
    order by page.sorted_by ${direction}, page.id ${direction}`;
}

/** Names of the custom fields of the rows, in the order of the alphabet. */
async function findCustomFields(
  db: Queries,
  entity: Entity,
  options: Options,
): Promise<readonly string[]> {
  const declared = entity.columns[CUSTOM];
  if (!declared || (declared.permission !== undefined && !options.sees(declared.permission)))
    return [];
  const rows = await db.query(
    sql`
      select distinct named.name
      from ${tableOf(entity.table)} as candidate
      cross join lateral jsonb_object_keys(candidate.custom_fields) as named (name)
      where ${conditionsOf(entity, 'candidate', options, options.query)}
      order by named.name
      limit ${CUSTOM_FIELDS_MAX}`,
    { signal: options.signal },
  );
  return rows.map((row) => row['name'] ?? '');
}

function ownField(entity: Entity, name: string): Field {
  const { kind } = mustColumn(entity, name);
  return {
    title: name,
    read: (row) => {
      const text = row[name] ?? null;
      if (text === null) return '';
      if (kind === 'boolean') return text === 't' ? 'true' : 'false';
      if (kind === 'timestamp') return formatTimestamp(text);
      return isPhone(name) ? writePhone(text) : text;
    },
  };
}

/** Of one row its texts, `contact.display_name`; of several their names in one field, separated by commas. */
function embedFields(name: string, embed: Embed, { sees }: Options): Field[] {
  const shown = mustFindEntity(embed.table);
  const read = (row: TextRow): unknown => JSON.parse(row[embedAlias(name)] ?? 'null');
  if (embed.kind !== 'one') {
    const at = embed.columns.indexOf('name');
    const names = (row: TextRow): string =>
      ((read(row) ?? []) as (string | null)[][]).map((texts) => texts[at] ?? '').join(', ');
    return at < 0 ? [] : [{ title: name, read: names }];
  }
  return embed.columns.flatMap((member, at): Field[] => {
    const { kind, permission } = mustColumn(shown, member);
    const isLeftOut = kind !== 'text' || NOT_EXPORTED.has(member);
    if (isLeftOut || (permission !== undefined && !sees(permission))) return [];
    const textAt = (row: TextRow): string => ((read(row) ?? []) as (string | null)[])[at] ?? '';
    return [
      {
        title: `${name}.${member}`,
        read: (row) => (isPhone(member) ? writePhone(textAt(row)) : textAt(row)),
      },
    ];
  });
}

const isPhone = (name: string): boolean => name === 'phone';

/** With a plus it is the same number in every country, and to a spreadsheet no amount. */
function writePhone(text: string): string {
  return E164.test(text) ? `+${text}` : text;
}

function parseObject(text: string | null | undefined): Readonly<Record<string, unknown>> {
  return JSON.parse(text ?? '{}') as Record<string, unknown>;
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
