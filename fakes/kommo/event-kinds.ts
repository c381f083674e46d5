import { changedFields } from './fields.ts';
import type { Change, ContactRow, LeadRow } from './model.ts';
import { SINGULAR } from './model.ts';

/** What an event says besides when and who. Values as in https://developers.kommo.com/reference/events-list */
export type EventFacts = {
  readonly type: string;
  readonly entityType: 'lead' | 'contact';
  readonly entityId: number;
  readonly after: readonly unknown[];
  readonly before: readonly unknown[];
};

export const EVENT_TYPES = [
  'lead_added',
  'lead_deleted',
  'lead_restored',
  'lead_status_changed',
  'lead_linked',
  'lead_unlinked',
  'contact_added',
  'contact_deleted',
  'contact_restored',
  'entity_tag_added',
  'entity_tag_deleted',
  'entity_responsible_changed',
  'name_field_changed',
  'sale_field_changed',
  'custom_field_value_changed',
  'entity_merged',
] as const;
type EventType = (typeof EVENT_TYPES)[number];

type Names = {
  readonly tag: (entity: Change['entity'], id: number) => string | undefined;
  readonly fieldType: (entity: Change['entity'], id: number) => string;
};

/** Pure: what one change is in events, in the order in which they are written. */
export function eventsOf(change: Change, names: Names): EventFacts[] {
  const singular = SINGULAR[change.entity];
  const make = (type: EventType, after: unknown[] = [], before: unknown[] = []): EventFacts => ({
    type,
    entityType: singular,
    entityId: change.after.id,
    after,
    before,
  });
  switch (change.kind) {
    case 'added':
      return [make(`${singular}_added`)];
    case 'deleted':
      return [make(`${singular}_deleted`)];
    case 'restored':
      return [make(`${singular}_restored`)];
    case 'merged':
      return [make('entity_merged')];
    case 'updated':
      return [
        ...(change.entity === 'leads' ? leadEdits(change.before, change.after, make) : []),
        ...commonEdits(change, names, make),
      ];
  }
}

type Make = (type: EventType, after?: unknown[], before?: unknown[]) => EventFacts;

function leadEdits(before: LeadRow | undefined, after: LeadRow, make: Make): EventFacts[] {
  if (before === undefined) return [];
  const events: EventFacts[] = [];
  const status = ({ statusId, pipelineId }: LeadRow): unknown[] => [
    { lead_status: { id: statusId, pipeline_id: pipelineId } },
  ];
  if (before.statusId !== after.statusId || before.pipelineId !== after.pipelineId) {
    events.push(make('lead_status_changed', status(after), status(before)));
  }
  const sale = (row: LeadRow): unknown[] => [{ sale_field_value: { sale: row.price } }];
  if (before.price !== after.price) {
    events.push(make('sale_field_changed', sale(after), sale(before)));
  }
  const link = (id: number): unknown[] => [{ link: { entity: { type: 'contact', id } } }];
  const ids = (row: LeadRow): number[] => row.contacts.map(({ id }) => id);
  for (const id of missing(ids(after), ids(before))) events.push(make('lead_linked', link(id)));
  for (const id of missing(ids(before), ids(after))) {
    events.push(make('lead_unlinked', [], link(id)));
  }
  return events;
}

function commonEdits(change: Change, names: Names, make: Make): EventFacts[] {
  const { entity, before, after } = change;
  if (before === undefined) return [];
  const events: EventFacts[] = [];
  const name = (row: LeadRow | ContactRow): unknown[] => [{ name_field_value: { name: row.name } }];
  if (before.name !== after.name)
    events.push(make('name_field_changed', name(after), name(before)));
  const owner = (row: LeadRow | ContactRow): unknown[] => [
    { responsible_user: { id: row.responsibleUserId } },
  ];
  if (before.responsibleUserId !== after.responsibleUserId) {
    events.push(make('entity_responsible_changed', owner(after), owner(before)));
  }
  const tag = (id: number): unknown[] => [{ tag: { name: names.tag(entity, id) ?? '' } }];
  for (const id of missing(after.tagIds, before.tagIds))
    events.push(make('entity_tag_added', tag(id)));
  for (const id of missing(before.tagIds, after.tagIds)) {
    events.push(make('entity_tag_deleted', [], tag(id)));
  }
  for (const id of changedFields(before.fields, after.fields)) {
    const value = (row: LeadRow | ContactRow): unknown[] =>
      (row.fields.get(id) ?? []).map((each) => ({
        custom_field_value: {
          field_id: id,
          field_type: names.fieldType(entity, id),
          enum_id: each.enum_id ?? null,
          text: String(each.value),
        },
      }));
    events.push(make('custom_field_value_changed', value(after), value(before)));
  }
  return events;
}

function missing(ids: readonly number[], from: readonly number[]): number[] {
  return ids.filter((id) => !from.includes(id));
}
