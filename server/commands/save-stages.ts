import { pipelines } from '../../domain/entities/pipelines.ts';
import { ClarinError } from '../../domain/errors.ts';
import { readEntity } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/** A stage of the wanted layout, in its place. Without an id it is a new one; a type is for new ones only. */
type StageDraft = {
  readonly id?: number | undefined;
  readonly name: string;
  readonly color?: string | undefined;
  readonly type?: string | undefined;
};

type Options = {
  readonly accountId: number;
  readonly pipelineId: number;
  readonly stages: readonly StageDraft[];
  /** Where leads of removed stages go: pairs of stage ids. */
  readonly reassign: readonly { readonly from: number; readonly to: number }[];
  /** Whether the pipeline with its stages, JSON text, is what the caller has seen; absent: it may be any. */
  readonly isSeen?: (json: string) => boolean;
};

/**
 * The whole layout of a pipeline's stages is saved at once: removed, changed and added, with as many statements however
 * many stages there are. Where leads of the account's default stage go, it goes too. Gives the pipeline with its stages, JSON text; undefined: no such pipeline.
 * @throws ClarinError precondition_failed, unprocessable for stages of elsewhere, conflict when leads of a removed stage have nowhere to go.
 */
export async function saveStages(tx: Queries, options: Options): Promise<string | undefined> {
  const { accountId, pipelineId, stages, reassign } = options;
  const known = await lockStages(tx, accountId, pipelineId);
  if (!known) return undefined;
  await assertSeen(tx, options);
  const kept = new Set(stages.flatMap(({ id }) => (id === undefined ? [] : [id])));
  const removed = [...known].filter((id) => !kept.has(id));
  assertKnown(known, kept, reassign);
  if (reassign.length > 0) await reassignLeads(tx, options);
  await removeStages(tx, accountId, removed);
  await changeStages(tx, options);
  await addStages(tx, options);
  return readEntity(tx, pipelines, { accountId, id: pipelineId });
}

async function assertSeen(tx: Queries, { accountId, pipelineId, isSeen }: Options): Promise<void> {
  if (!isSeen) return;
  const json = await readEntity(tx, pipelines, { accountId, id: pipelineId });
  if (json === undefined || isSeen(json)) return;
  throw new ClarinError(
    'precondition_failed',
    'the stages have changed since the version in If-Match',
  );
}

/** Ids of the stages, pipeline and stages locked against another layout. Undefined: no such pipeline. */
async function lockStages(
  tx: Queries,
  accountId: number,
  pipelineId: number,
): Promise<Set<number> | undefined> {
  const found = await tx.query(sql`
    select id
    from public.pipelines
    where account_id = ${accountId} and id = ${pipelineId}
    for no key update`);
  if (found.length === 0) return undefined;
  const rows = await tx.query(sql`
    select id
    from public.pipeline_stages
    where account_id = ${accountId} and pipeline_id = ${pipelineId}
    order by id
    for no key update`);
  return new Set(rows.map((row) => Number(row['id'])));
}

function assertKnown(
  known: ReadonlySet<number>,
  kept: ReadonlySet<number>,
  reassign: Options['reassign'],
): void {
  const foreign = [...kept].filter((id) => !known.has(id));
  if (foreign.length > 0) {
    throw new ClarinError('unprocessable', 'a stage of the layout is not of this pipeline', {
      details: { stages: foreign },
    });
  }
  const misled = reassign.filter(
    ({ from, to }) => !known.has(from) || kept.has(from) || !kept.has(to),
  );
  if (misled.length > 0) {
    throw new ClarinError(
      'unprocessable',
      'leads are reassigned from a removed stage to one that stays',
      {
        details: { reassign: misled },
      },
    );
  }
}

async function reassignLeads(tx: Queries, { accountId, reassign }: Options): Promise<void> {
  const sources = sql`${reassign.map(({ from }) => from)}::bigint[]`;
  const moved = sql`unnest(${sources}, ${reassign.map(({ to }) => to)}::bigint[]) as moved (source, target)`;
  // Locked in the order of their ids, as whoever changes many leads locks them.
  await tx.query(sql`
    with held as materialized (
      select lead.id
      from public.leads as lead
      where lead.account_id = ${accountId} and lead.stage_id = any(${sources})
      order by lead.id
      for no key update
    )
    update public.leads as lead
    set stage_id = moved.target
    from held, ${moved}
    where lead.account_id = ${accountId} and lead.id = held.id and lead.stage_id = moved.source`);
  await tx.query(sql`
    update public.accounts as account
    set default_stage_id = moved.target
    from ${moved}
    where account.id = ${accountId} and account.default_stage_id = moved.source`);
}

async function removeStages(
  tx: Queries,
  accountId: number,
  removed: readonly number[],
): Promise<void> {
  if (removed.length === 0) return;
  const rows = await tx.query(sql`
    select stage_id, count(*) as leads
    from public.leads
    where account_id = ${accountId} and stage_id = any(${[...removed]}::bigint[])
    group by stage_id`);
  if (rows.length > 0) {
    throw new ClarinError(
      'conflict',
      'a removed stage has leads: say in `reassign` where they go',
      {
        details: {
          stages: rows.map((row) => ({ id: Number(row['stage_id']), leads: Number(row['leads']) })),
        },
      },
    );
  }
  await tx.query(sql`
    delete from public.pipeline_stages
    where account_id = ${accountId} and id = any(${[...removed]}::bigint[])`);
}

async function changeStages(tx: Queries, { accountId, stages }: Options): Promise<void> {
  const changes = stages.flatMap((stage, position) =>
    stage.id === undefined
      ? []
      : [{ id: stage.id, name: stage.name, color: stage.color ?? null, position }],
  );
  if (changes.length === 0) return;
  await tx.query(sql`
    update public.pipeline_stages as stage
    set name = draft.name, color = coalesce(draft.color, stage.color), position = draft.position
    from unnest(
      ${changes.map(({ id }) => id)}::bigint[],
      ${changes.map(({ name }) => name)}::text[],
      ${changes.map(({ color }) => color)}::text[],
      ${changes.map(({ position }) => position)}::integer[]
    ) as draft (id, name, color, position)
    where stage.account_id = ${accountId} and stage.id = draft.id
      and (stage.name, stage.color, stage.position)
        is distinct from (draft.name, coalesce(draft.color, stage.color), draft.position)`);
}

async function addStages(tx: Queries, { accountId, pipelineId, stages }: Options): Promise<void> {
  const added = stages.flatMap((stage, position) =>
    stage.id === undefined ? [{ ...stage, position }] : [],
  );
  if (added.length === 0) return;
  await tx.query(sql`
    insert into public.pipeline_stages (account_id, pipeline_id, name, color, type, position)
    select ${accountId}::bigint, ${pipelineId}::bigint, draft.name, coalesce(draft.color, '#64748b'),
      coalesce(draft.type, 'active'), draft.position
    from unnest(
      ${added.map(({ name }) => name)}::text[],
      ${added.map(({ color }) => color ?? null)}::text[],
      ${added.map(({ type }) => type ?? null)}::text[],
      ${added.map(({ position }) => position)}::integer[]
    ) as draft (name, color, type, position)`);
}
