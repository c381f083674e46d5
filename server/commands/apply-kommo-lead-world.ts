import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import type { KommoLead } from '../kommo/documents.ts';
import type { KnownLook } from '../kommo/map-looks.ts';
import type { FollowedPipeline, LeadWorld } from '../kommo/map-lead.ts';
import { readKnown, selectKnown, selectKnownTags, type KommoScope } from './apply-kommo-looks.ts';

type FirstLook = {
  readonly world: LeadWorld;
  readonly known: Map<number, KnownLook>;
  readonly knownTags: readonly number[];
};

/** All that a page of leads refers to, and how they looked before: one statement. */
export async function readLeadWorld(
  tx: Queries,
  scope: KommoScope,
  leads: readonly KommoLead[],
  absentContacts: ReadonlySet<number>,
): Promise<FirstLook> {
  const { accountId, connectionId } = scope;
  const tagIds = leads.flatMap(({ _embedded }) => _embedded?.tags?.map(({ id }) => id) ?? []);
  const userIds = leads.flatMap(({ responsible_user_id }) => responsible_user_id ?? []);
  const pipelineIds = [...new Set(leads.map(({ pipeline_id }) => pipeline_id))];
  const [row] = await tx.query(sql`
    select connection.currency,
      (
        select json_agg(json_build_array(followed.kommo_id, stage.pipeline_id, stage.kommo_id, stage.id)
          order by stage.type <> 'active', stage.position, stage.id)
        from public.kommo_pipelines as followed
        join public.pipeline_stages as stage
          on stage.account_id = followed.account_id and stage.pipeline_id = followed.pipeline_id
        where followed.account_id = ${accountId} and followed.connection_id = ${connectionId} and followed.is_connected
          and followed.kommo_id = any(${pipelineIds}::bigint[])
      ) as stages,
      (
        select json_agg(json_build_array(person.kommo_id, member.user_id))
        from private.kommo_users as person
        join public.users as owner on lower(btrim(owner.email)) = lower(btrim(person.email)) and owner.is_active
        join public.memberships as member on member.account_id = ${accountId} and member.user_id = owner.id
        where person.connection_id = ${connectionId} and person.kommo_id = any(${[...new Set(userIds)]}::bigint[])
      ) as members,
      ${selectKnown(
        scope,
        'lead',
        leads.map(({ id }) => id),
      )} as known,
      ${selectKnownTags(scope, 'lead', [...new Set(tagIds)])} as tags
    from public.kommo_connections as connection
    where connection.account_id = ${accountId} and connection.id = ${connectionId}`);
  return {
    world: {
      currency: row?.['currency'] ?? undefined,
      pipelines: pipelinesOf(JSON.parse(row?.['stages'] ?? '[]') as StageRow[]),
      members: new Map(JSON.parse(row?.['members'] ?? '[]') as [number, number][]),
      absentContacts,
    },
    known: readKnown(row?.['known']),
    knownTags: JSON.parse(row?.['tags'] ?? '[]') as number[],
  };
}

type StageRow = [kommoPipelineId: number, pipelineId: number, statusId: number | null, id: number];

/** The first stage of each is where a lead goes whose own is not known: an active one, if there is any. */
function pipelinesOf(rows: readonly StageRow[]): Map<number, FollowedPipeline> {
  const pipelines = new Map<number, FollowedPipeline & { stages: Map<number, number> }>();
  for (const [kommoId, id, statusId, stageId] of rows) {
    const pipeline = pipelines.get(kommoId) ?? { id, stages: new Map(), firstStageId: stageId };
    if (statusId !== null) pipeline.stages.set(statusId, stageId);
    pipelines.set(kommoId, pipeline);
  }
  return pipelines;
}
