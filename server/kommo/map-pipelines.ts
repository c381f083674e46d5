import { LOST_STATUS_ID, WON_STATUS_ID, type KommoPipeline } from './documents.ts';
import { mapColor, mapText } from './map-values.ts';

export type MappedStage = {
  /** Kommo's status; won and lost have the same in every pipeline. */
  readonly id: number;
  readonly name: string;
  /** Undefined: Kommo does not say. */
  readonly color: string | undefined;
  readonly type: 'active' | 'won' | 'lost';
};

export type MappedPipeline = {
  readonly id: number;
  readonly name: string;
  /** In their order, won and lost behind all others. */
  readonly stages: readonly MappedStage[];
};

const NAME_MAX = 200;

/** In Kommo's order, without those in its archive. The stage where incoming leads wait is one like another. */
export function mapPipelines(pipelines: readonly KommoPipeline[]): MappedPipeline[] {
  return pipelines
    .filter(({ is_archive }) => is_archive !== true)
    .toSorted((one, other) => one.sort - other.sort || one.id - other.id)
    .map(({ id, name, _embedded }) => ({
      id,
      name: mapText(name, NAME_MAX) ?? `Pipeline ${id}`,
      stages: mapStages(_embedded.statuses),
    }));
}

function mapStages(statuses: KommoPipeline['_embedded']['statuses']): MappedStage[] {
  const stages = new Map<number, MappedStage>();
  for (const status of statuses.toSorted(
    (one, other) => one.sort - other.sort || one.id - other.id,
  )) {
    stages.set(status.id, {
      id: status.id,
      name: mapText(status.name, NAME_MAX) ?? `Stage ${status.id}`,
      color: mapColor(status.color),
      type: typeOf(status.id),
    });
  }
  const all = [...stages.values()];
  return [
    ...all.filter(({ type }) => type === 'active'),
    ...all.filter(({ type }) => type !== 'active'),
  ];
}

function typeOf(id: number): MappedStage['type'] {
  if (id === WON_STATUS_ID) return 'won';
  return id === LOST_STATUS_ID ? 'lost' : 'active';
}
