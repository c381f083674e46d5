import { id, json, text } from '../column.ts';
import { defineEntity } from '../entity.ts';

/**
 * Who changed what, written by triggers whoever writes; only added to. Without an actor: somebody in psql. `before` and
 * `after` hold columns that differ, with values only of what is configured; of a row that is gone, its ids and its name.
 */
export const audit_log = defineEntity({
  table: 'audit_log',
  singular: 'audit entry',
  permission: 'settings',
  columns: {
    actor_id: id({ nullable: true }),
    source: text({ max: 20 }),
    request_id: text({ nullable: true, max: 64 }),
    action: text({ values: ['insert', 'update', 'delete'] }),
    entity: text({ max: 63 }),
    entity_id: id(),
    before: json({ nullable: true }),
    after: json({ nullable: true }),
  },
  list: {
    filters: {
      entity: { kind: 'equals', column: 'entity' },
      entity_id: { kind: 'equals', column: 'entity_id' },
      actor_id: { kind: 'equals', column: 'actor_id' },
      action: { kind: 'equals', column: 'action' },
      source: { kind: 'equals', column: 'source' },
      created: { kind: 'range', column: 'created_at' },
    },
    search: [],
    sorts: ['created_at'],
    sort: 'created_at',
    order: 'desc',
  },
  rest: 'read',
});
