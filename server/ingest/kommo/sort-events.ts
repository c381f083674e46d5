import type { KommoEvent } from '../../kommo/documents.ts';

export type Entity = 'lead' | 'contact';

const DELETIONS: readonly string[] = ['lead_deleted', 'contact_deleted'];

/**
 * What an edit's moment may not tell of: deletions, tags, links, merges. Whether those raise `updated_at` is not
 * documented. https://developers.kommo.com/reference/events-types
 */
export const EVENT_TYPES: readonly string[] = [
  ...DELETIONS,
  'lead_restored',
  'contact_restored',
  'lead_linked',
  'lead_unlinked',
  'contact_linked',
  'contact_unlinked',
  'entity_linked',
  'entity_unlinked',
  'entity_tag_added',
  'entity_tag_deleted',
  'entity_merged',
];

export const isDeletion = (type: string): boolean => DELETIONS.includes(type);

export type SortedEvents = {
  /** Ids whose last event says that they were deleted, and when, Kommo's seconds. */
  readonly deleted: Readonly<Record<Entity, ReadonlyMap<number, number>>>;
  /** Ids to be looked at. */
  readonly changed: Readonly<Record<Entity, ReadonlySet<number>>>;
};

/**
 * What is to be done about events, in whatever order they came. The last one of each counts; of a deletion and another
 * one in the same second nobody knows the order, so that one is looked at.
 */
export function sortEvents(events: readonly KommoEvent[]): SortedEvents {
  const last = new Map<string, { event: KommoEvent; isDeletion: boolean }>();
  for (const event of events) {
    if (event.entity_type !== 'lead' && event.entity_type !== 'contact') continue;
    const key = `${event.entity_type} ${event.entity_id}`;
    const before = last.get(key);
    const isGone = isDeletion(event.type);
    if (!before || event.created_at > before.event.created_at)
      last.set(key, { event, isDeletion: isGone });
    else if (event.created_at === before.event.created_at && isGone !== before.isDeletion)
      last.set(key, { event, isDeletion: false });
  }
  const deleted = { lead: new Map<number, number>(), contact: new Map<number, number>() };
  const changed = { lead: new Set<number>(), contact: new Set<number>() };
  for (const { event, isDeletion: isGone } of last.values()) {
    const entity = event.entity_type as Entity;
    if (isGone) deleted[entity].set(event.entity_id, event.created_at);
    else changed[entity].add(event.entity_id);
  }
  return { deleted, changed };
}
