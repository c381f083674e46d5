import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import type { KommoPipeline } from '../kommo/documents.ts';
import { mapPipelines, type MappedPipeline } from '../kommo/map-pipelines.ts';
import { takeTurn, type KommoScope } from './apply-kommo-looks.ts';
import {
  planPipelines,
  planStages,
  type PipelinePlan,
  type StagePlan,
  type StoredPipelines,
  type StoredStage,
} from './apply-kommo-pipeline-plan.ts';

/** As public.pipeline_stages has it where nobody says. */
const STAGE_COLOR = '#64748b';

/**
 * All pipelines of a Kommo account, as they are now. Each is a row of kommo_pipelines, not followed until people choose
 * it; gone or archived there, the row goes, and what came of it stays. One that is followed has a pipeline of ours with its
 * name and its stages: names, colours and order follow Kommo's. Its won and lost are ours. A stage that Kommo no longer
 * has goes when no lead is in it. Leads that waited for a stage are asked for again. An empty list is no answer (Kommo
 * always has one) and changes nothing.
 *
 * One statement when nothing differs; otherwise as many however many pipelines there are. Gives the number of rows that
 * were changed.
 */
export async function applyKommoPipelines(
  tx: Queries,
  scope: KommoScope,
  pipelines: readonly KommoPipeline[],
): Promise<number> {
  const mapped = mapPipelines(pipelines);
  if (mapped.length === 0) return 0;
  const seen = await readPipelines(tx, scope, mapped);
  if (countOf(planPipelines(mapped, seen)) + countOf(planStages(mapped, seen)) === 0) return 0;
  await takeTurn(tx, scope);
  await holdPipelines(tx, scope, seen);
  const { made } = planPipelines(mapped, await readPipelines(tx, scope, mapped));
  await insertPipelines(tx, scope, made);
  const listing = planPipelines(mapped, await readPipelines(tx, scope, mapped));
  await writeListing(tx, scope, listing);
  // A new pipeline has come with its won and its lost stage.
  const stages = planStages(mapped, await readPipelines(tx, scope, mapped));
  await writeStages(tx, scope, stages);
  return made.length + countOf(listing) + countOf(stages);
}

function countOf(plan: PipelinePlan | StagePlan): number {
  return Object.values(plan).reduce((sum, rows) => sum + rows.length, 0);
}

async function readPipelines(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  mapped: readonly MappedPipeline[],
): Promise<StoredPipelines> {
  const ids = mapped.map(({ id }) => id);
  const statusIds = mapped.flatMap(({ stages }) => stages.map(({ id }) => id));
  const [row] = await tx.query(sql`
    with listed as materialized (
      select listed.id, listed.kommo_id, listed.name, listed.pipeline_id, listed.is_connected
      from public.kommo_pipelines as listed
      where listed.account_id = ${accountId} and listed.connection_id = ${connectionId}
    )
    select (
      select json_agg(json_build_array(id, kommo_id, name, pipeline_id, is_connected) order by id) from listed
    ) as listed,
    (
      select json_agg(json_build_array(own.id, own.kommo_id, own.name) order by own.id)
      from public.pipelines as own
      where own.account_id = ${accountId} and (
        own.id in (select pipeline_id from listed) or own.kommo_id = any(${ids}::bigint[])
      )
    ) as ours,
    (
      select json_agg(json_build_array(
        stage.id, stage.pipeline_id, stage.kommo_id, stage.name, stage.color, stage.type, stage.position,
        coalesce(stage.kommo_id <> all(${statusIds}::bigint[]), false) and exists (
          select from public.leads as lead
          where lead.account_id = ${accountId} and lead.pipeline_id = stage.pipeline_id and lead.stage_id = stage.id
        )
      ) order by stage.id)
      from public.pipeline_stages as stage
      where stage.account_id = ${accountId}
        and stage.pipeline_id in (select pipeline_id from listed where is_connected)
    ) as stages`);
  return row ? parsePipelines(row) : { listed: [], ours: [], stages: [] };
}

function parsePipelines(row: TextRow): StoredPipelines {
  type Listed = [number, number, string, number | null, boolean];
  type Own = [number, number | null, string];
  type Stage = [
    number,
    number,
    number | null,
    string,
    string,
    StoredStage['type'],
    number,
    boolean,
  ];
  const rowsOf = <T>(name: string): T[] => JSON.parse(row[name] ?? '[]') as T[];
  return {
    listed: rowsOf<Listed>('listed').map(([id, kommoId, name, pipelineId, isConnected]) => ({
      id,
      kommoId,
      name,
      pipelineId,
      isConnected,
    })),
    ours: rowsOf<Own>('ours').map(([id, kommoId, name]) => ({ id, kommoId, name })),
    stages: rowsOf<Stage>('stages').map(
      ([id, pipelineId, kommoId, name, color, type, position, hasLeads]) => ({
        id,
        pipelineId,
        kommoId,
        name,
        color,
        type,
        position,
        hasLeads,
      }),
    ),
  };
}

/** Against a layout that people save at the same time (save-stages.ts), in the same order. */
async function holdPipelines(
  tx: Queries,
  { accountId }: KommoScope,
  { ours, stages }: StoredPipelines,
): Promise<void> {
  await tx.query(sql`
    select id
    from public.pipelines
    where account_id = ${accountId} and id = any(${ours.map(({ id }) => id)}::bigint[])
    order by id
    for no key update`);
  await tx.query(sql`
    select id
    from public.pipeline_stages
    where account_id = ${accountId} and id = any(${stages.map(({ id }) => id)}::bigint[])
    order by id
    for no key update`);
}

/** Behind those that are there, in Kommo's order. */
async function insertPipelines(
  tx: Queries,
  { accountId }: KommoScope,
  made: PipelinePlan['made'],
): Promise<void> {
  if (made.length === 0) return;
  await tx.query(sql`
    insert into public.pipelines (account_id, name, kommo_id)
    select ${accountId}::bigint, given.name, given.kommo_id
    from unnest(${made.map(({ kommoId }) => kommoId)}::bigint[], ${made.map(({ name }) => name)}::text[])
      with ordinality as given (kommo_id, name, place)
    order by given.place`);
}

async function writeListing(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  { appeared, goneIds, changed, renamed }: PipelinePlan,
): Promise<void> {
  if (renamed.length > 0) {
    await tx.query(sql`
      update public.pipelines as pipeline
      set name = given.name
      from unnest(${renamed.map(({ id }) => id)}::bigint[], ${renamed.map(({ name }) => name)}::text[])
        as given (id, name)
      where pipeline.account_id = ${accountId} and pipeline.id = given.id`);
  }
  if (goneIds.length > 0) {
    await tx.query(sql`
      delete from public.kommo_pipelines
      where account_id = ${accountId} and connection_id = ${connectionId} and id = any(${[...goneIds]}::bigint[])`);
  }
  if (appeared.length > 0) {
    await tx.query(sql`
      insert into public.kommo_pipelines (account_id, connection_id, kommo_id, name)
      select ${accountId}::bigint, ${connectionId}::bigint, given.kommo_id, given.name
      from unnest(${appeared.map(({ kommoId }) => kommoId)}::bigint[], ${appeared.map(({ name }) => name)}::text[])
        with ordinality as given (kommo_id, name, place)
      order by given.place`);
  }
  if (changed.length > 0) {
    await tx.query(sql`
      update public.kommo_pipelines as listed
      set name = given.name, pipeline_id = given.pipeline_id
      from unnest(${changed.map(({ id }) => id)}::bigint[], ${changed.map(({ name }) => name)}::text[],
        ${changed.map(({ pipelineId }) => pipelineId)}::bigint[]) as given (id, name, pipeline_id)
      where listed.account_id = ${accountId} and listed.connection_id = ${connectionId} and listed.id = given.id`);
  }
}

/** Positions are unique when the transaction ends, and not before. */
async function writeStages(
  tx: Queries,
  scope: KommoScope,
  { made, changed, goneIds }: StagePlan,
): Promise<void> {
  const { accountId, connectionId } = scope;
  if (goneIds.length > 0) {
    await tx.query(sql`
      delete from public.pipeline_stages where account_id = ${accountId} and id = any(${[...goneIds]}::bigint[])`);
  }
  if (changed.length > 0) {
    await tx.query(sql`
      update public.pipeline_stages as stage
      set name = given.name, color = given.color, position = given.position, kommo_id = given."kommoId"
      from jsonb_to_recordset(${JSON.stringify(changed)}::jsonb)
        as given (id bigint, name text, color text, position integer, "kommoId" bigint)
      where stage.account_id = ${accountId} and stage.id = given.id`);
  }
  if (made.length === 0) return;
  await tx.query(sql`
    insert into public.pipeline_stages (account_id, pipeline_id, kommo_id, name, color, position)
    select ${accountId}::bigint, given."pipelineId", given."kommoId", given.name,
      coalesce(given.color, ${STAGE_COLOR}), given.position
    from jsonb_to_recordset(${JSON.stringify(made)}::jsonb)
      as given ("pipelineId" bigint, "kommoId" bigint, name text, color text, position integer)
    order by given."pipelineId", given.position`);
  await tx.query(sql`
    insert into private.kommo_hints (connection_id, entity, kommo_id)
    select connection_id, 'lead', kommo_id
    from private.kommo_leads
    where connection_id = ${connectionId} and account_id = ${accountId} and is_misplaced
    on conflict (connection_id, entity, kommo_id) do nothing`);
}
