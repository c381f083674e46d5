import type { FieldDefinition } from './fields.ts';
import type { Change, ContactRow, EntityName, LeadRow } from './model.ts';
import { SINGULAR } from './model.ts';
import type { IncomingOutcome } from './unsorted.ts';

/** Events a webhook can be set to. https://developers.kommo.com/docs/webhooks-general */
export const WEBHOOK_SETTINGS = [
  'add_lead',
  'update_lead',
  'delete_lead',
  'restore_lead',
  'status_lead',
  'responsible_lead',
  'add_contact',
  'update_contact',
  'delete_contact',
  'restore_contact',
  'responsible_contact',
  'add_unsorted',
  'delete_unsorted',
] as const;
export type WebhookSetting = (typeof WEBHOOK_SETTINGS)[number];

/** One entry of a delivery: `leads[status][n]` and what is under it. */
export type WebhookEntry = {
  readonly setting: WebhookSetting;
  readonly path: readonly [string, string];
  readonly data: Readonly<Record<string, unknown>>;
};

type Names = {
  readonly accountId: number;
  readonly tag: (entity: EntityName, id: number) => string | undefined;
  readonly field: (entity: EntityName, id: number) => FieldDefinition | undefined;
};

/** Pure: what one change is to webhooks. A move is told twice, as a status and as an update. */
export function webhooksOf(change: Change, names: Names): WebhookEntry[] {
  const singular = SINGULAR[change.entity];
  const data = change.entity === 'leads' ? leadData(change, names) : contactData(change, names);
  const entry = (
    action: 'add' | 'update' | 'delete' | 'restore' | 'responsible',
    more: Readonly<Record<string, unknown>> = {},
  ): WebhookEntry => ({
    setting: `${action}_${singular}`,
    path: [change.entity, action],
    data: { ...data, ...more },
  });
  switch (change.kind) {
    case 'added':
      return [entry('add')];
    case 'deleted':
      return [entry('delete')];
    case 'restored':
      return [entry('restore')];
    case 'merged':
      return [entry('update')];
    case 'updated': {
      const { before, after } = change;
      const entries = [entry('update')];
      if (change.entity === 'leads' && change.before && isMoved(change.before, change.after)) {
        entries.push({ ...entry('update'), setting: 'status_lead', path: ['leads', 'status'] });
      }
      if (before && before.responsibleUserId !== after.responsibleUserId) {
        const old = { old_responsible_user_id: before.responsibleUserId };
        entries.push(entry('responsible', old));
      }
      return entries;
    }
  }
}

/** Pure: what became of an incoming lead. */
export function webhookOfIncoming({ action, incoming }: IncomingOutcome): WebhookEntry {
  const { uid, pipelineId, leadId, contactId, createdAt } = incoming;
  if (action === 'added') {
    const data = { uid, pipeline_id: pipelineId, lead_id: leadId, created_at: createdAt };
    return { setting: 'add_unsorted', path: ['unsorted', 'add'], data };
  }
  const result = { leads: [leadId], contacts: [contactId] };
  const data = { uid, action, [`${action}_result`]: result };
  return { setting: 'delete_unsorted', path: ['unsorted', 'delete'], data };
}

function isMoved(before: LeadRow, after: LeadRow): boolean {
  return before.statusId !== after.statusId || before.pipelineId !== after.pipelineId;
}

function leadData(change: Change & { entity: 'leads' }, names: Names): Record<string, unknown> {
  const { before, after } = change;
  return {
    id: after.id,
    name: after.name,
    status_id: after.statusId,
    ...(before && before.statusId !== after.statusId && { old_status_id: before.statusId }),
    price: after.price,
    pipeline_id: after.pipelineId,
    ...(before && before.pipelineId !== after.pipelineId && { old_pipeline_id: before.pipelineId }),
    ...commonData('leads', after, names),
  };
}

function contactData(
  change: Change & { entity: 'contacts' },
  names: Names,
): Record<string, unknown> {
  const { after } = change;
  return {
    id: after.id,
    name: after.name,
    // Companies come by the same name.
    type: 'contact',
    ...commonData('contacts', after, names),
  };
}

function commonData(
  entity: EntityName,
  row: LeadRow | ContactRow,
  names: Names,
): Record<string, unknown> {
  const fields = [...row.fields].flatMap(([id, values]) => {
    const definition = names.field(entity, id);
    if (!definition) return [];
    const list = values.map(({ value, enum_id }) => ({ value, ...(enum_id && { enum: enum_id }) }));
    const code = definition.code === null ? {} : { code: definition.code };
    return [{ id, name: definition.name, ...code, values: list }];
  });
  const tags = row.tagIds.flatMap((id) => {
    const name = names.tag(entity, id);
    return name === undefined ? [] : [{ id, name }];
  });
  return {
    responsible_user_id: row.responsibleUserId,
    modified_user_id: row.updatedBy,
    created_user_id: row.createdBy,
    date_create: row.createdAt,
    last_modified: row.updatedAt,
    account_id: names.accountId,
    ...(tags.length > 0 && { tags }),
    ...(fields.length > 0 && { custom_fields: fields }),
  };
}
