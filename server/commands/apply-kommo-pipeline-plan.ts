import type { MappedPipeline, MappedStage } from '../kommo/map-pipelines.ts';

/** What is there: rows of kommo_pipelines, ours that they may lead to, and the stages of ours that are followed. */
export type StoredPipelines = {
  readonly listed: readonly {
    readonly id: number;
    readonly kommoId: number;
    readonly name: string;
    readonly pipelineId: number | null;
    readonly isConnected: boolean;
  }[];
  readonly ours: readonly {
    readonly id: number;
    readonly kommoId: number | null;
    readonly name: string;
  }[];
  readonly stages: readonly StoredStage[];
};

export type StoredStage = {
  readonly id: number;
  readonly pipelineId: number;
  readonly kommoId: number | null;
  readonly name: string;
  readonly color: string;
  readonly type: 'active' | 'won' | 'lost';
  readonly position: number;
  /** Some lead is in it. Said of those only that Kommo no longer has. */
  readonly hasLeads: boolean;
};

export type PipelinePlan = {
  /** Of kommo_pipelines: appeared, gone, and called otherwise or linked to ours. */
  readonly appeared: readonly { readonly kommoId: number; readonly name: string }[];
  readonly goneIds: readonly number[];
  readonly changed: readonly {
    readonly id: number;
    readonly name: string;
    readonly pipelineId: number | null;
  }[];
  /** Of pipelines: followed and without one of ours yet, and called otherwise. */
  readonly made: readonly { readonly kommoId: number; readonly name: string }[];
  readonly renamed: readonly { readonly id: number; readonly name: string }[];
};

export type StagePlan = {
  readonly made: readonly (Placed & {
    readonly pipelineId: number;
    readonly color: string | null;
  })[];
  readonly changed: readonly (Placed & { readonly id: number; readonly color: string })[];
  readonly goneIds: readonly number[];
};

type Placed = { readonly kommoId: number | null; readonly name: string; readonly position: number };

export function planPipelines(
  pipelines: readonly MappedPipeline[],
  { listed, ours }: StoredPipelines,
): PipelinePlan {
  const known = new Map(listed.map((row) => [row.kommoId, row]));
  const wanted = new Set(pipelines.map(({ id }) => id));
  const followed = pipelines.flatMap(({ id, name }) => {
    const row = known.get(id);
    return row?.isConnected ? [{ kommoId: id, name, own: findOwn(row, ours) }] : [];
  });
  return {
    appeared: pipelines.flatMap(({ id, name }) => (known.has(id) ? [] : [{ kommoId: id, name }])),
    goneIds: listed.flatMap(({ id, kommoId }) => (wanted.has(kommoId) ? [] : [id])),
    changed: pipelines.flatMap(({ id, name }) => {
      const row = known.get(id);
      if (!row) return [];
      const pipelineId = (row.isConnected ? findOwn(row, ours)?.id : undefined) ?? row.pipelineId;
      const isSame = row.name === name && row.pipelineId === pipelineId;
      return isSame ? [] : [{ id: row.id, name, pipelineId }];
    }),
    made: followed.flatMap(({ kommoId, name, own }) => (own ? [] : [{ kommoId, name }])),
    renamed: followed.flatMap(({ name, own }) =>
      own && own.name !== name ? [{ id: own.id, name }] : [],
    ),
  };
}

/** The one it is linked to, or else the one that has its id from an earlier connection. */
function findOwn(
  { pipelineId, kommoId }: StoredPipelines['listed'][number],
  ours: StoredPipelines['ours'],
): StoredPipelines['ours'][number] | undefined {
  return ours.find(({ id }) => id === pipelineId) ?? ours.find((own) => own.kommoId === kommoId);
}

/** Stages of the pipelines that are followed. Those of people, and those Kommo no longer has and leads are in, stay behind Kommo's. */
export function planStages(
  pipelines: readonly MappedPipeline[],
  { listed, stages }: StoredPipelines,
): StagePlan {
  const plans = listed.flatMap(({ kommoId, pipelineId, isConnected }) => {
    const pipeline = pipelines.find(({ id }) => id === kommoId);
    if (!pipeline || pipelineId === null || !isConnected) return [];
    return [
      planLayout(
        pipeline,
        pipelineId,
        stages.filter((stage) => stage.pipelineId === pipelineId),
      ),
    ];
  });
  return {
    made: plans.flatMap(({ made }) => made),
    changed: plans.flatMap(({ changed }) => changed),
    goneIds: plans.flatMap(({ goneIds }) => goneIds),
  };
}

function planLayout(
  { stages: wanted }: MappedPipeline,
  pipelineId: number,
  stored: readonly StoredStage[],
): StagePlan {
  // Won and lost are there from the beginning, one of each.
  const find = (stage: MappedStage): StoredStage | undefined =>
    stored.find(({ type, kommoId }) =>
      stage.type === 'active' ? type === 'active' && kommoId === stage.id : type === stage.type,
    );
  const pairs = wanted.map((stage) => ({ stage, own: find(stage) }));
  const matched = new Set(pairs.map(({ own }) => own?.id));
  const others = stored
    .filter(({ id }) => !matched.has(id))
    .toSorted((one, other) => one.position - other.position);
  const isGone = ({ type, kommoId, hasLeads }: StoredStage): boolean =>
    type === 'active' && kommoId !== null && !hasLeads;
  const kept = others.filter((stage) => !isGone(stage)).map((own) => ({ stage: own, own }));
  const isActive = ({ stage }: { stage: { type: string } }): boolean => stage.type === 'active';
  const layout = [
    ...pairs.filter(isActive),
    ...kept.filter(isActive),
    ...[...pairs, ...kept].filter((entry) => !isActive(entry)),
  ].map(({ stage, own }, position) => ({ own, ...placeOf(stage, own), position }));
  return {
    goneIds: others.filter(isGone).map(({ id }) => id),
    made: layout.flatMap(({ own, ...place }) =>
      own ? [] : [{ ...place, pipelineId, color: place.color ?? null }],
    ),
    changed: layout.flatMap(({ own, ...place }) => {
      if (!own) return [];
      const next = { ...place, color: place.color ?? own.color };
      const isSame =
        next.name === own.name &&
        next.color === own.color &&
        next.position === own.position &&
        next.kommoId === own.kommoId;
      return isSame ? [] : [{ ...next, id: own.id }];
    }),
  };
}

function placeOf(
  stage: MappedStage | StoredStage,
  own: StoredStage | undefined,
): { kommoId: number | null; name: string; color: string | undefined } {
  const isKept = stage === own;
  return {
    kommoId: isKept ? (own?.kommoId ?? null) : stage.id,
    name: stage.name,
    color: stage.color,
  };
}
