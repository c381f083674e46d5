import { id, json, numeric, text, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

const LEAD_STATUSES = ['open', 'won', 'lost'] as const;

export const leads = defineEntity({
  table: 'leads',
  singular: 'lead',
  permission: 'leads',
  columns: {
    contact_id: id({ required: true, references: 'contacts', write: 'always' }),
    title: text({ required: true, min: 1, max: 300, write: 'always' }),
    value: numeric({ min: 0, write: 'always' }),
    currency: text({ pattern: /^[A-Z]{3}$/, write: 'always' }),
    /** Follows the type of its stage, by a trigger. */
    status: text({ values: LEAD_STATUSES }),
    pipeline_id: id({ references: 'pipelines' }),
    /** Absent at creation: the account's default stage. The pipeline follows it. */
    stage_id: id({ references: 'pipeline_stages', write: 'create' }),
    position: numeric({ pgType: 'double precision', write: 'always' }),
    assigned_to: id({ nullable: true, references: 'memberships.user_id', write: 'always' }),
    source: text({ nullable: true, max: 100, write: 'create' }),
    notes: text({ nullable: true, write: 'always' }),
    custom_fields: json({ write: 'always' }),
    close_reason: text({ nullable: true, max: 500, write: 'always' }),
    closed_at: timestamp({ nullable: true }),
    archived_at: timestamp({ nullable: true }),
    deleted_at: timestamp({ nullable: true }),
    kommo_id: id({ nullable: true }),
    kommo_deleted_at: timestamp({ nullable: true }),
  },
  feedFilters: ['pipeline_id', 'stage_id', 'assigned_to', 'contact_id'],
  embeds: {
    stage: {
      kind: 'one',
      table: 'pipeline_stages',
      by: 'stage_id',
      columns: ['id', 'name', 'color', 'type', 'position'],
    },
    contact: {
      kind: 'one',
      table: 'contacts',
      by: 'contact_id',
      columns: ['id', 'display_name', 'phone', 'avatar_url'],
    },
    tags: {
      kind: 'many',
      table: 'tags',
      through: 'lead_tags',
      owner: 'lead_id',
      target: 'tag_id',
      columns: ['id', 'name', 'color'],
      order: 'name',
    },
  },
  list: {
    filters: {
      pipeline_id: { kind: 'equals', column: 'pipeline_id' },
      stage_id: { kind: 'equals', column: 'stage_id' },
      status: { kind: 'equals', column: 'status' },
      assigned_to: { kind: 'equals', column: 'assigned_to' },
      contact_id: { kind: 'equals', column: 'contact_id' },
      tag_ids: { kind: 'linked', embed: 'tags' },
      source: { kind: 'equals', column: 'source' },
      created: { kind: 'range', column: 'created_at' },
      updated: { kind: 'range', column: 'updated_at' },
      archived: { kind: 'present', column: 'archived_at', unless: 'trash' },
      trash: { kind: 'present', column: 'deleted_at' },
    },
    search: ['title', 'contact.display_name', 'contact.phone'],
    sorts: ['created_at', 'updated_at', 'title', 'value', 'position'],
    sort: 'created_at',
    order: 'desc',
  },
  cache: { row: true, list: true },
  rest: 'crud',
});
