import type { Core } from './core.ts';
import type { PipelineInput, StageInput } from './inputs.ts';
import { LOST, mustFind, WON, WorldError } from './model.ts';

type Stage = {
  readonly id: number;
  readonly name: string;
  readonly color: string;
  /** 1: where incoming leads wait. */
  readonly type: 0 | 1;
  readonly isEditable: boolean;
};
type Pipeline = {
  readonly id: number;
  readonly name: string;
  readonly isMain: boolean;
  readonly isArchive: boolean;
  /** In their order: the incoming one first, won and lost last. */
  readonly stages: readonly Stage[];
};

/** Leads of a stage, or of a whole pipeline, go to another stage. */
type Place = { readonly pipelineId: number; readonly statusId?: number };
export type Relocate = (
  from: Place,
  to: { readonly pipelineId: number; readonly statusId: number },
) => void;

/** Published. https://developers.kommo.com/docs/limitations */
const PIPELINES_MAX = 50;
const STAGES_MAX = 100;
const COLORS = ['#99ccff', '#ffff99', '#ffcc66', '#ccff66', '#ffc8c8', '#d6eaff'] as const;

/** Every pipeline begins with a stage for incoming leads and ends with 142, won, and 143, lost. */
export class Pipelines {
  readonly #core: Core;
  readonly #relocate: Relocate;
  #pipelines: readonly Pipeline[] = [];

  constructor(core: Core, relocate: Relocate) {
    this.#core = core;
    this.#relocate = relocate;
  }

  /** In their order. */
  list(): readonly Pipeline[] {
    return this.#pipelines;
  }

  get(id: number): Pipeline | undefined {
    return this.#pipelines.find((pipeline) => pipeline.id === id);
  }

  /** Where a lead without a pipeline goes. */
  get main(): Pipeline {
    return mustFind(
      this.#pipelines.find(({ isMain }) => isMain),
      'pipeline',
    );
  }

  /** The first stage that a person can put a lead on; won when there is no other. */
  firstStageOf(pipelineId: number): Stage {
    const { stages } = this.#must(pipelineId);
    return mustFind(
      stages.find(({ type }) => type === 0),
      'stage',
    );
  }

  has(pipelineId: number, statusId: number): boolean {
    return this.get(pipelineId)?.stages.some(({ id }) => id === statusId) ?? false;
  }

  add(input: PipelineInput): Pipeline {
    if (this.#pipelines.length >= PIPELINES_MAX) throw new WorldError('50 pipelines at most');
    const own = (input.stages ?? []).map((stage, index) => this.#newStage(stage, index));
    const incoming: Stage = {
      id: this.#core.nextId('status'),
      name: 'Incoming leads',
      color: '#c1c1c1',
      type: 1,
      isEditable: false,
    };
    const pipeline: Pipeline = {
      id: this.#core.nextId('pipeline'),
      name: input.name,
      isMain: this.#pipelines.length === 0,
      isArchive: false,
      stages: [
        incoming,
        ...own,
        { id: WON, name: 'Closed - won', color: '#CCFF66', type: 0, isEditable: false },
        { id: LOST, name: 'Closed - lost', color: '#D5D8DB', type: 0, isEditable: false },
      ],
    };
    this.#pipelines = [...this.#pipelines, pipeline];
    return pipeline;
  }

  update(
    id: number,
    patch: {
      name?: string | undefined;
      isArchive?: boolean | undefined;
      isMain?: boolean | undefined;
    },
  ): void {
    const before = this.#must(id);
    if (patch.isMain === true) {
      this.#pipelines = this.#pipelines.map((each) => ({ ...each, isMain: each.id === id }));
    }
    this.#replace({
      ...before,
      name: patch.name ?? before.name,
      isArchive: patch.isArchive ?? before.isArchive,
      isMain: patch.isMain === true || before.isMain,
    });
  }

  /** `ids`: all of them. */
  reorder(ids: readonly number[]): void {
    this.#pipelines = inOrder(this.#pipelines, ids);
  }

  /** Its leads go to the first stage of another one, the main one when none is named. */
  remove(id: number, to?: number): void {
    const { isMain } = this.#must(id);
    if (isMain) throw new WorldError('the main pipeline cannot be removed');
    const pipelineId = to ?? this.main.id;
    if (pipelineId === id) throw new WorldError('its leads cannot go to itself');
    this.#relocate({ pipelineId: id }, { pipelineId, statusId: this.firstStageOf(pipelineId).id });
    this.#pipelines = this.#pipelines.filter((pipeline) => pipeline.id !== id);
  }

  /** Before won and lost. */
  addStage(pipelineId: number, input: StageInput): Stage {
    const pipeline = this.#must(pipelineId);
    if (pipeline.stages.length >= STAGES_MAX) throw new WorldError('100 stages at most');
    const stage = this.#newStage(input, pipeline.stages.length);
    const stages = [...pipeline.stages.slice(0, -2), stage, ...pipeline.stages.slice(-2)];
    this.#replace({ ...pipeline, stages });
    return stage;
  }

  /** Name and colour; of won, lost and incoming only the name. */
  updateStage(
    pipelineId: number,
    statusId: number,
    patch: { name?: string | undefined; color?: string | undefined },
  ): void {
    const pipeline = this.#must(pipelineId);
    const before = this.#mustStage(pipeline, statusId);
    if (!before.isEditable && patch.color !== undefined) {
      throw new WorldError('the colour of a system stage cannot be changed');
    }
    const after = {
      ...before,
      name: patch.name ?? before.name,
      color: patch.color ?? before.color,
    };
    this.#replace({
      ...pipeline,
      stages: pipeline.stages.map((stage) => (stage.id === statusId ? after : stage)),
    });
  }

  /** `ids`: all that are not the system's. */
  reorderStages(pipelineId: number, ids: readonly number[]): void {
    const pipeline = this.#must(pipelineId);
    const own = inOrder(
      pipeline.stages.filter(({ isEditable }) => isEditable),
      ids,
    );
    const [incoming, ...rest] = pipeline.stages;
    const stages = [...(incoming ? [incoming] : []), ...own, ...rest.slice(-2)];
    this.#replace({ ...pipeline, stages });
  }

  /** Its leads go to another stage of the pipeline, its first one when none is named. */
  removeStage(pipelineId: number, statusId: number, to?: number): void {
    const pipeline = this.#must(pipelineId);
    if (!this.#mustStage(pipeline, statusId).isEditable) {
      throw new WorldError('a system stage cannot be removed');
    }
    const stages = pipeline.stages.filter(({ id }) => id !== statusId);
    const target = to ?? stages.find(({ type }) => type === 0)?.id ?? WON;
    if (!stages.some(({ id }) => id === target))
      throw new WorldError(`there is no stage ${target}`);
    this.#relocate({ pipelineId, statusId }, { pipelineId, statusId: target });
    this.#replace({ ...pipeline, stages });
  }

  #newStage(input: StageInput, index: number): Stage {
    return {
      id: this.#core.nextId('status'),
      name: input.name,
      color: input.color ?? COLORS[index % COLORS.length] ?? COLORS[0],
      type: 0,
      isEditable: true,
    };
  }

  #must(id: number): Pipeline {
    return mustFind(this.get(id), `pipeline ${id}`);
  }

  #mustStage(pipeline: Pipeline, id: number): Stage {
    return mustFind(
      pipeline.stages.find((stage) => stage.id === id),
      `stage ${id}`,
    );
  }

  #replace(pipeline: Pipeline): void {
    this.#pipelines = this.#pipelines.map((each) => (each.id === pipeline.id ? pipeline : each));
  }
}

function inOrder<T extends { readonly id: number }>(
  list: readonly T[],
  ids: readonly number[],
): T[] {
  if (ids.length !== list.length || new Set(ids).size !== ids.length) {
    throw new WorldError('an order names all of them, each once');
  }
  return ids.map((id) =>
    mustFind(
      list.find((each) => each.id === id),
      `${id} among them`,
    ),
  );
}
