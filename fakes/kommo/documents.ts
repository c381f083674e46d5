import type { Webhook } from './webhooks.ts';
import type { KommoEvent } from './events.ts';
import type { ContactRow, EntityName, FieldValues, LeadRow } from './model.ts';
import { LOST, SINGULAR, WON } from './model.ts';
import type { Incoming } from './unsorted.ts';
import type { World } from './world.ts';

/**
 * Rows as the API v4 shows them: https://developers.kommo.com/reference/. `base` is where this account answers,
 * `http://127.0.0.1:4790/acme`, for the links.
 */
type Document = Record<string, unknown>;

export function leadDocument(
  world: World,
  row: LeadRow,
  { base, embeds }: { base: string; embeds: ReadonlySet<string> },
): Document {
  const reason = row.lossReasonId === null ? undefined : world.lossReasons.get(row.lossReasonId);
  return {
    id: row.id,
    name: row.name,
    price: row.price,
    responsible_user_id: row.responsibleUserId,
    group_id: 0,
    status_id: row.statusId,
    pipeline_id: row.pipelineId,
    loss_reason_id: row.lossReasonId,
    source_id: null,
    created_by: row.createdBy,
    updated_by: row.updatedBy,
    created_at: row.createdAt,
    updated_at: row.updatedAt,
    closed_at: row.closedAt,
    closest_task_at: row.closestTaskAt,
    is_deleted: row.isDeleted,
    custom_fields_values: fieldDocuments(world, 'leads', row.fields),
    score: null,
    account_id: world.id,
    labor_cost: null,
    is_price_computed: false,
    ...(embeds.has('is_price_modified_by_robot') && { is_price_modified_by_robot: false }),
    _links: self(`${base}/api/v4/leads/${row.id}`),
    _embedded: {
      tags: tagDocuments(world, 'leads', row.tagIds),
      companies: [],
      ...(embeds.has('loss_reason') && { loss_reason: reason ? [reasonDocument(reason)] : [] }),
      ...(embeds.has('contacts') && {
        contacts: row.contacts.map(({ id, isMain }) => ({
          id,
          is_main: isMain,
          _links: self(`${base}/api/v4/contacts/${id}`),
        })),
      }),
      ...(embeds.has('catalog_elements') && { catalog_elements: [] }),
      ...(embeds.has('source') && { source: null }),
    },
  };
}

/** `with=only_deleted` shows no more. */
export function deletedLeadDocument(world: World, row: LeadRow, base: string): Document {
  return {
    id: row.id,
    updated_at: row.updatedAt,
    is_deleted: true,
    account_id: world.id,
    _links: self(`${base}/api/v4/leads/${row.id}`),
    _embedded: { tags: [], companies: [] },
  };
}

export function contactDocument(
  world: World,
  row: ContactRow,
  { base, embeds, leadIds }: { base: string; embeds: ReadonlySet<string>; leadIds: number[] },
): Document {
  return {
    id: row.id,
    name: row.name,
    first_name: row.firstName,
    last_name: row.lastName,
    responsible_user_id: row.responsibleUserId,
    group_id: 0,
    created_by: row.createdBy,
    updated_by: row.updatedBy,
    created_at: row.createdAt,
    updated_at: row.updatedAt,
    is_deleted: row.isDeleted,
    is_unsorted: row.isUnsorted,
    closest_task_at: row.closestTaskAt,
    custom_fields_values: fieldDocuments(world, 'contacts', row.fields),
    account_id: world.id,
    _links: self(`${base}/api/v4/contacts/${row.id}`),
    _embedded: {
      tags: tagDocuments(world, 'contacts', row.tagIds),
      companies: [],
      ...(embeds.has('catalog_elements') && { catalog_elements: [] }),
      ...(embeds.has('leads') && {
        leads: leadIds.map((id) => ({ id, _links: self(`${base}/api/v4/leads/${id}`) })),
      }),
    },
  };
}

function fieldDocuments(world: World, entity: EntityName, fields: FieldValues): Document[] | null {
  const documents = world.fields.list(entity).flatMap((definition): Document[] => {
    const values = fields.get(definition.id);
    if (values === undefined) return [];
    const { id, name, code, type } = definition;
    return [{ field_id: id, field_name: name, field_code: code, field_type: type, values }];
  });
  if (documents.length > 0) return documents;
  return world.settings.emptyFields === 'null' ? null : [];
}

function tagDocuments(world: World, entity: EntityName, ids: readonly number[]): Document[] {
  return ids.flatMap((id) => {
    const tag = world.tags.get(entity, id);
    return tag ? [{ ...tag }] : [];
  });
}

type Reason = { readonly id: number; readonly name: string; readonly createdAt: number };

export function reasonDocument({ id, name, createdAt }: Reason): Document {
  return { id, name, sort: 1000, created_at: createdAt, updated_at: createdAt };
}

type Pipeline = ReturnType<World['pipelines']['list']>[number];
type Stage = Pipeline['stages'][number];
/** Won and lost are last wherever the others are. */
const SYSTEM_SORT: Readonly<Record<number, number>> = { [WON]: 10_000, [LOST]: 11_000 };

export function pipelineDocument(world: World, pipeline: Pipeline, base: string): Document {
  return {
    id: pipeline.id,
    name: pipeline.name,
    sort: world.pipelines.list().indexOf(pipeline) + 1,
    is_main: pipeline.isMain,
    is_unsorted_on: true,
    is_archive: pipeline.isArchive,
    account_id: world.id,
    _links: self(`${base}/api/v4/leads/pipelines/${pipeline.id}`),
    _embedded: {
      statuses: pipeline.stages.map((stage) => stageDocument(world, { pipeline, stage, base })),
    },
  };
}

export function stageDocument(
  world: World,
  { pipeline, stage, base }: { pipeline: Pipeline; stage: Stage; base: string },
): Document {
  return {
    id: stage.id,
    name: stage.name,
    sort: SYSTEM_SORT[stage.id] ?? (pipeline.stages.indexOf(stage) + 1) * 10,
    is_editable: stage.isEditable,
    pipeline_id: pipeline.id,
    color: stage.color,
    type: stage.type,
    account_id: world.id,
    _links: self(`${base}/api/v4/leads/pipelines/${pipeline.id}/statuses/${stage.id}`),
  };
}

type User = ReturnType<World['users']['list']>[number];

export function userDocument(user: User, base: string): Document {
  const { id, name, email, isAdmin, isActive } = user;
  return {
    id,
    name,
    email,
    lang: 'es',
    rights: { is_admin: isAdmin, is_free: false, is_active: isActive, group_id: null },
    _links: self(`${base}/api/v4/users/${id}`),
  };
}

export function accountDocument(world: World, base: string): Document {
  return {
    id: world.id,
    name: world.name,
    subdomain: world.subdomain,
    created_at: world.createdAt,
    created_by: 0,
    current_user_id: world.users.first.id,
    country: world.country,
    currency: world.currency,
    currency_symbol: world.currencySymbol,
    is_unsorted_on: true,
    is_loss_reason_enabled: true,
    is_technical_account: false,
    _links: self(`${base}/api/v4/account`),
  };
}

export function fieldDefinitionDocument(
  world: World,
  definition: ReturnType<World['fields']['list']>[number],
  entity: EntityName,
): Document {
  const { id, name, code, type, sort, enums } = definition;
  return {
    id,
    name,
    type,
    code,
    sort,
    entity_type: entity,
    account_id: world.id,
    is_predefined: code !== null,
    is_deletable: code === null,
    is_api_only: false,
    enums: enums.length === 0 ? null : enums,
  };
}

export function eventDocument(world: World, event: KommoEvent, base: string): Document {
  const plural = event.entityType === SINGULAR.leads ? 'leads' : 'contacts';
  return {
    id: event.id,
    type: event.type,
    entity_id: event.entityId,
    entity_type: event.entityType,
    created_by: event.createdBy,
    created_at: event.createdAt,
    value_after: event.after,
    value_before: event.before,
    account_id: world.id,
    _links: self(`${base}/api/v4/events/${event.id}`),
    _embedded: {
      entity: {
        id: event.entityId,
        _links: self(`${base}/api/v4/${plural}/${event.entityId}`),
      },
    },
  };
}

export function incomingDocument(world: World, incoming: Incoming, base: string): Document {
  const { uid, createdAt, pipelineId, leadId, contactId } = incoming;
  const metadata = {
    form_id: '11',
    form_name: 'Web',
    form_page: 'https://example.com/',
    ip: '203.0.113.9',
    form_sent_at: String(createdAt),
    referer: 'https://example.com/',
  };
  return {
    uid,
    source_uid: null,
    source_name: null,
    category: 'forms',
    pipeline_id: pipelineId,
    created_at: createdAt,
    metadata,
    account_id: world.id,
    _links: self(`${base}/api/v4/leads/unsorted/${uid}`),
    _embedded: { contacts: [{ id: contactId }], leads: [{ id: leadId }], companies: [] },
  };
}

export function webhookDocument(hook: Webhook, world: World): Document {
  return {
    id: hook.id,
    destination: hook.destination,
    created_at: hook.createdAt,
    updated_at: hook.updatedAt,
    account_id: world.id,
    created_by: world.users.first.id,
    sort: 1,
    disabled: hook.isDisabled,
    settings: hook.settings,
  };
}

function self(href: string): Document {
  return { self: { href } };
}

/** Everything of a row as it is now; which leads a contact has is in the leads. */
export function documentOf(world: World, row: LeadRow | ContactRow): Document {
  const base = `https://${world.subdomain}.kommo.com`;
  const embeds = new Set(['contacts', 'loss_reason']);
  if ('pipelineId' in row) return leadDocument(world, row, { base, embeds });
  return contactDocument(world, row, { base, embeds, leadIds: [] });
}
