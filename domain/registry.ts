import type { Entity } from './entity.ts';
import { accounts } from './entities/accounts.ts';
import { contact_tags } from './entities/contact_tags.ts';
import { contacts } from './entities/contacts.ts';
import { lead_tags } from './entities/lead_tags.ts';
import { leads } from './entities/leads.ts';
import { memberships } from './entities/memberships.ts';
import { pipeline_stages } from './entities/pipeline_stages.ts';
import { pipelines } from './entities/pipelines.ts';
import { roles } from './entities/roles.ts';
import { sessions } from './entities/sessions.ts';
import { tags } from './entities/tags.ts';
import { users } from './entities/users.ts';

/** Every published table, referenced ones before those that point to them. */
export const ENTITIES: readonly Entity[] = [
  accounts,
  users,
  roles,
  memberships,
  sessions,
  pipelines,
  pipeline_stages,
  contacts,
  leads,
  tags,
  lead_tags,
  contact_tags,
];

const byTable = new Map(ENTITIES.map((entity) => [entity.table, entity]));

export function findEntity(table: string): Entity | undefined {
  return byTable.get(table);
}

/** @throws Error for a table that is not in the registry: a slip of ours, never of a client. */
export function mustFindEntity(table: string): Entity {
  const entity = byTable.get(table);
  if (!entity) throw new Error(`no entity for table ${table}`);
  return entity;
}
