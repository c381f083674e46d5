import type { Entity } from './entity.ts';
import { accounts } from './entities/accounts.ts';
import { api_keys } from './entities/api_keys.ts';
import { audit_log } from './entities/audit_log.ts';
import { campaign_recipients } from './entities/campaign_recipients.ts';
import { campaigns } from './entities/campaigns.ts';
import { chat_tags } from './entities/chat_tags.ts';
import { chats } from './entities/chats.ts';
import { contact_device_names } from './entities/contact_device_names.ts';
import { contact_identities } from './entities/contact_identities.ts';
import { contact_tags } from './entities/contact_tags.ts';
import { contacts } from './entities/contacts.ts';
import { device_pairings } from './entities/device_pairings.ts';
import { devices } from './entities/devices.ts';
import { import_errors } from './entities/import_errors.ts';
import { imports } from './entities/imports.ts';
import { interactions } from './entities/interactions.ts';
import { kommo_connections } from './entities/kommo_connections.ts';
import { kommo_pipelines } from './entities/kommo_pipelines.ts';
import { lead_tags } from './entities/lead_tags.ts';
import { leads } from './entities/leads.ts';
import { media } from './entities/media.ts';
import { memberships } from './entities/memberships.ts';
import { message_reactions } from './entities/message_reactions.ts';
import { messages } from './entities/messages.ts';
import { pipeline_stages } from './entities/pipeline_stages.ts';
import { pipelines } from './entities/pipelines.ts';
import { poll_votes } from './entities/poll_votes.ts';
import { quick_replies } from './entities/quick_replies.ts';
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
  api_keys,
  sessions,
  pipelines,
  pipeline_stages,
  contacts,
  contact_identities,
  leads,
  tags,
  lead_tags,
  contact_tags,
  devices,
  device_pairings,
  contact_device_names,
  media,
  chats,
  messages,
  message_reactions,
  poll_votes,
  chat_tags,
  interactions,
  quick_replies,
  campaigns,
  campaign_recipients,
  imports,
  import_errors,
  kommo_connections,
  kommo_pipelines,
  audit_log,
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
