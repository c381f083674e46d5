import { z } from 'zod';
import { publishedColumns, type ListFilter } from '../../domain/entity.ts';
import { leads } from '../../domain/entities/leads.ts';
import { pipeline_stages } from '../../domain/entities/pipeline_stages.ts';
import { compileRowWriter } from '../../domain/row-json.ts';
import type { Queries, TextRow } from '../postgres.ts';
import { column, ident, join, sql, type Sql } from '../sql.ts';
import { compileBodyWriter } from './body.ts';
import { conditionsOf } from './conditions.ts';
import { joinEmbeds, selectEmbeds } from './embeds.ts';
import { describeFilters, type FilterValue } from './filter-value.ts';
import {
  formatCanonical,
  mustList,
  readFilters,
  readInteger,
  readSearch,
  readSort,
  sortShape,
  type Complain,
  type RawQuery,
} from './list-query.ts';
import { ascOrDesc } from './keyset-order.ts';
import { nextCursor } from './list.ts';
import { selectColumns } from './scope.ts';

/** A validated board query. `pipelineId` undefined: the default pipeline. */
export type BoardQuery = {
  readonly pipelineId: number | undefined;
  /** Leads per stage. */
  readonly limit: number;
  readonly sort: string;
  readonly order: 'asc' | 'desc';
  readonly search: string | undefined;
  readonly filters: Readonly<Record<string, FilterValue>>;
  readonly canonical: string;
};

const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
const list = { ...mustList(leads), sort: 'position', order: 'asc' } as const;
const STAGE_COLUMNS = publishedColumns(pipeline_stages);
const writeStage = compileRowWriter(pipeline_stages, STAGE_COLUMNS);
const stageAlias = (name: string): string => `stage.${name}`;

/** The list's filters, but for what the board itself is. */
const FILTERS: Readonly<Record<string, ListFilter>> = Object.fromEntries(
  Object.entries(list.filters).filter(([name]) => !['pipeline_id', 'stage_id'].includes(name)),
);

const schema = z
  .strictObject({
    pipeline_id: z.string().optional().describe('The default pipeline when absent'),
    limit: z
      .string()
      .optional()
      .describe(`Leads per stage, at most ${LIMIT_MAX}; ${LIMIT_DEFAULT} when absent`),
    ...sortShape(list),
    ...describeFilters(leads, FILTERS),
  })
  .transform((raw, context): BoardQuery => {
    const complain: Complain = (name, message) => {
      context.issues.push({ code: 'custom', path: [name], message, input: raw });
    };
    return readBoardQuery(raw as RawQuery, complain) ?? z.NEVER;
  });

/** Schema of the query string of GET /api/leads/board. */
export function boardQuerySchema(): z.ZodType<BoardQuery> {
  return schema;
}

function readBoardQuery(raw: RawQuery, complain: Complain): BoardQuery | undefined {
  const written: [string, string][] = [];
  const limit = readInteger(raw['limit'], { min: 1, max: LIMIT_MAX, fallback: LIMIT_DEFAULT });
  const by = readSort(list, raw, written);
  const search = readSearch(raw['search'], complain, written);
  const filters = readFilters(leads, { filters: FILTERS, raw, complain, written });
  const pipeline = raw['pipeline_id'];
  const pipelineId = pipeline === undefined ? undefined : Number(pipeline);
  if (
    pipeline !== undefined &&
    (!/^[1-9]\d{0,15}$/.test(pipeline) || !Number.isSafeInteger(pipelineId))
  ) {
    complain('pipeline_id', 'is not an id');
  }
  if (limit === undefined) complain('limit', `is a number from 1 to ${LIMIT_MAX}`);
  if (limit === undefined || filters === undefined) return undefined;
  if (pipeline !== undefined) written.push(['pipeline_id', pipeline]);
  if (limit !== LIMIT_DEFAULT) written.push(['limit', String(limit)]);
  return { pipelineId, limit, ...by, search, filters, canonical: formatCanonical(written) };
}

/** Field of the board in leads.list, `board?<canonical query>`. */
export function boardKey(query: BoardQuery): string {
  return `board?${query.canonical}`;
}

/** The query of a key made by boardKey; undefined for any other text. */
export function parseBoardKey(key: string): BoardQuery | undefined {
  if (!key.startsWith('board?')) return undefined;
  return schema.safeParse(Object.fromEntries(new URLSearchParams(key.slice('board?'.length)))).data;
}

/** Stages with how many leads each has, then the first leads of each by the index of the sort, then their embeds. */
export function boardStatement(accountId: number, query: BoardQuery): Sql {
  const conditions = conditionsOf(leads, 'candidate', { accountId }, query);
  const direction = ascOrDesc(query.order);
  const sorted = column('candidate', query.sort);
  const stageColumns = STAGE_COLUMNS.map(
    (name) => sql`${column('stage', name)} as ${ident(stageAlias(name))}`,
  );
  const chosen =
    query.pipelineId === undefined
      ? sql`(select id from public.pipelines where account_id = ${accountId} and is_default)`
      : sql`${query.pipelineId}`;
  return sql`
    select pipeline.id as "board.pipeline", counted.total as "board.total", ${join(stageColumns)},
      ${selectColumns(leads, 'entity')}${selectEmbeds(leads)}
    from public.pipelines as pipeline
    left join public.pipeline_stages as stage
      on stage.account_id = pipeline.account_id and stage.pipeline_id = pipeline.id
    left join (
      select candidate.stage_id, count(*) as total
      from public.leads as candidate
      where ${conditions} and candidate.stage_id in (
        select id from public.pipeline_stages where account_id = ${accountId} and pipeline_id = ${chosen}
      )
      group by candidate.stage_id
    ) as counted on counted.stage_id = stage.id
    left join lateral (
      select candidate.id, ${sorted} as sorted_by
      from public.leads as candidate
      where ${conditions} and candidate.stage_id = stage.id
      order by ${sorted} ${direction}, candidate.id ${direction}
      limit ${query.limit + 1}
    ) as page on true
    left join public.leads as entity on entity.id = page.id
    ${joinEmbeds(leads, 'entity')}
    where pipeline.account_id = ${accountId} and pipeline.id = ${chosen}
    order by stage.position, stage.id, page.sorted_by ${direction}, page.id ${direction}`;
}

/**
 * `{"data":{"pipeline_id":1,"stages":[{...stage,"total":n,"leads":[{...lead with embeds}],"next_cursor":"..."}]}}`;
 * undefined: no such pipeline in this account. next_cursor continues in the list with stage_id, sort and order.
 * One statement.
 */
export async function readBoard(
  db: Queries,
  options: { accountId: number; query: BoardQuery; signal?: AbortSignal | undefined },
): Promise<string | undefined> {
  const { accountId, query, signal } = options;
  const rows = await db.query(boardStatement(accountId, query), { signal });
  const pipelineId = rows[0]?.['board.pipeline'];
  if (!pipelineId) return undefined;
  const stages = new Map<string, TextRow[]>();
  for (const row of rows) {
    const stageId = row[stageAlias('id')];
    if (typeof stageId !== 'string') continue;
    const known = stages.get(stageId);
    if (known) known.push(row);
    else stages.set(stageId, [row]);
  }
  const bodies = [...stages.values()].map((leadRows) => writeColumn(query, leadRows));
  return `{"data":{"pipeline_id":${pipelineId},"stages":[${bodies.join(',')}]}}`;
}

/** One stage of the board from its rows, of which there is at least one. */
function writeColumn(query: BoardQuery, rows: readonly TextRow[]): string {
  const first = rows[0];
  const found = rows.filter((row) => row['id'] !== null);
  const shown = found.slice(0, query.limit);
  const last = shown.at(-1);
  const stage = writeStage(STAGE_COLUMNS.map((name) => first?.[stageAlias(name)]));
  const cards = shown.map(compileBodyWriter(leads)).join(',');
  let body = `${stage.slice(0, -1)},"total":${first?.['board.total'] ?? '0'},"leads":[${cards}]`;
  if (last && found.length > query.limit) {
    // Goes on with the list of leads of this stage.
    const by = { of: leads.table, sort: query.sort, order: query.order };
    body += `,"next_cursor":"${nextCursor(by, last)}"`;
  }
  return `${body}}`;
}
