import type { KommoTag } from './documents.ts';
import { mapColor, mapText } from './map-values.ts';

export type MappedTag = {
  /** Kommo's: one for leads, another one for contacts. */
  readonly id: number;
  readonly name: string;
  readonly color: string | undefined;
};

const NAME_MAX = 100;

/** In the order of their ids, each once. Those without a name are left out: there is nothing to find ours by. */
export function mapTags(tags: readonly KommoTag[] | null | undefined): MappedTag[] {
  const mapped = new Map<number, MappedTag>();
  for (const { id, name, color } of tags ?? []) {
    const text = mapText(name, NAME_MAX);
    if (text !== undefined) mapped.set(id, { id, name: text, color: mapColor(color) });
  }
  return [...mapped.values()].toSorted((one, other) => one.id - other.id);
}
