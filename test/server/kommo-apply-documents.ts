import type {
  KommoContact,
  KommoCustomField,
  KommoLead,
  KommoPipeline,
  KommoTag,
} from '../../server/kommo/documents.ts';

/** Some second of 2026; documents are of it where a test does not say another. */
export const T = 1_795_300_000;

export type ContactGiven = {
  readonly id: number;
  readonly at?: number;
  readonly name?: string | null;
  readonly lastName?: string | null;
  readonly phones?: readonly string[];
  readonly emails?: readonly string[];
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly tags?: readonly KommoTag[];
  readonly isDeleted?: boolean;
};

export type LeadGiven = {
  readonly id: number;
  readonly at?: number;
  readonly name?: string | null;
  readonly price?: number | null;
  readonly pipeline: number;
  readonly status: number;
  readonly responsible?: number;
  /** The first is the main one. */
  readonly contacts?: readonly number[];
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly tags?: readonly KommoTag[];
  readonly closedAt?: number | null;
  readonly lossReason?: string;
  readonly isDeleted?: boolean;
};

/** Ids of fields are of their names, so that a field is the same in every document. */
export function field(name: string, value: unknown, type = 'text'): KommoCustomField {
  const id = Array.from(name).reduce(
    (sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 1_000_000,
    7,
  );
  const values = Array.isArray(value) ? value : [value];
  return {
    field_id: 1_000 + id,
    field_name: name,
    field_code: null,
    field_type: Array.isArray(value) ? 'multiselect' : type,
    values: values.map((one) => ({ value: one as unknown })),
  };
}

function address(code: 'PHONE' | 'EMAIL', values: readonly string[]): KommoCustomField[] {
  if (values.length === 0) return [];
  return [
    {
      ...field(code, [...values]),
      field_id: code === 'PHONE' ? 601 : 603,
      field_code: code,
      field_type: 'multitext',
    },
  ];
}

function fieldsOf(fields: Readonly<Record<string, unknown>> = {}): KommoCustomField[] {
  return Object.entries(fields).map(([name, value]) => field(name, value));
}

export function contactDocument(given: ContactGiven): KommoContact {
  const fields = [
    ...address('PHONE', given.phones ?? []),
    ...address('EMAIL', given.emails ?? []),
    ...fieldsOf(given.fields),
  ];
  return {
    id: given.id,
    name: given.name === undefined ? `Person ${given.id}` : given.name,
    first_name: '',
    last_name: given.lastName ?? '',
    created_at: T - 1_000,
    updated_at: given.at ?? T,
    is_deleted: given.isDeleted ?? false,
    custom_fields_values: fields.length === 0 ? null : fields,
    closest_task_at: Math.floor(Math.random() * 1e9),
    _embedded: { tags: [...(given.tags ?? [])] },
  };
}

export function leadDocument(given: LeadGiven): KommoLead {
  const fields = fieldsOf(given.fields);
  return {
    id: given.id,
    name: given.name === undefined ? `Deal ${given.id}` : given.name,
    price: given.price ?? 0,
    responsible_user_id: given.responsible ?? 0,
    status_id: given.status,
    pipeline_id: given.pipeline,
    created_at: T - 1_000,
    updated_at: given.at ?? T,
    closed_at: given.closedAt ?? null,
    is_deleted: given.isDeleted ?? false,
    custom_fields_values: fields.length === 0 ? null : fields,
    closest_task_at: Math.floor(Math.random() * 1e9),
    _embedded: {
      tags: [...(given.tags ?? [])],
      loss_reason: given.lossReason === undefined ? [] : [{ id: 66, name: given.lossReason }],
      contacts: (given.contacts ?? []).map((id, place) => ({ id, is_main: place === 0 })),
    },
  };
}

export type StatusGiven = { readonly id: number; readonly name?: string; readonly color?: string };

/** With incoming leads first, won and lost last, as Kommo has it. */
export function pipelineDocument(
  id: number,
  name: string,
  statuses: readonly StatusGiven[],
): KommoPipeline {
  const all: StatusGiven[] = [
    ...statuses,
    { id: 142, name: 'Closed - won', color: '#CCFF66' },
    { id: 143, name: 'Closed - lost', color: '#D5D8DB' },
  ];
  return {
    id,
    name,
    sort: 1,
    is_archive: false,
    _embedded: {
      statuses: all.map((status, place) => ({
        id: status.id,
        name: status.name ?? `Status ${status.id}`,
        sort: status.id === 142 ? 10_000 : status.id === 143 ? 11_000 : 10 * (place + 1),
        color: status.color ?? '#c1c1c1',
        type: place === 0 ? 1 : 0,
      })),
    },
  };
}
