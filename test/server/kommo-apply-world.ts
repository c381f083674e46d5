import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { applyKommoContacts } from '../../server/commands/apply-kommo-contacts.ts';
import { applyKommoLeads } from '../../server/commands/apply-kommo-leads.ts';
import type { Applied, KommoScope } from '../../server/commands/apply-kommo-looks.ts';
import { applyKommoPipelines } from '../../server/commands/apply-kommo-pipelines.ts';
import type {
  KommoContact,
  KommoCustomField,
  KommoLead,
  KommoPipeline,
  KommoTag,
} from '../../server/kommo/documents.ts';
import { openCommandWorld, type CommandWorld } from './commands/command-world.ts';

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
  const id = [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 1_000_000, 7);
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

export type ApplyWorld = CommandWorld & {
  readonly scope: KommoScope;
  /** Another number each time, so that tests do not meet. */
  next(): number;
  newConnection(): Promise<KommoScope>;
  contacts(...given: readonly ContactGiven[]): Promise<Applied>;
  leads(...given: readonly LeadGiven[]): Promise<Applied>;
  /** A pipeline that is followed, its statuses by Kommo's ids. */
  followed(scope?: KommoScope): Promise<{ pipeline: number; statuses: [number, number, number] }>;
  follow(pipeline: number, isFollowed?: boolean): Promise<void>;
  contact(kommoId: number): Promise<TextRow>;
  lead(kommoId: number): Promise<TextRow>;
  identities(contactId: number): Promise<string[]>;
  tagsOf(kind: 'lead' | 'contact', id: number): Promise<string[]>;
};

export async function openApplyWorld(): Promise<ApplyWorld> {
  const world = await openCommandWorld();
  const { accountId, db, run, one } = world;
  let numbers = 1_000;
  const next = (): number => (numbers += 10);
  const newConnection = async (): Promise<KommoScope> => {
    const { id } = await one(sql`
      insert into public.kommo_connections (account_id, subdomain, currency)
      values (${accountId}, ${`test-${next()}`}, 'PEN')
      returning id`);
    return { accountId, connectionId: Number(id) };
  };
  const scope = await newConnection();
  const connect = async (connection: KommoScope, pipeline: number, isFollowed: boolean) => {
    await db.query(sql`
      update public.kommo_pipelines set is_connected = ${isFollowed}
      where account_id = ${accountId} and connection_id = ${connection.connectionId} and kommo_id = ${pipeline}`);
  };
  const listed = new Map<number, KommoPipeline[]>();
  return {
    ...world,
    scope,
    next,
    newConnection,
    contacts: (...given) => run((tx) => applyKommoContacts(tx, scope, given.map(contactDocument))),
    leads: (...given) => run((tx) => applyKommoLeads(tx, scope, given.map(leadDocument))),
    followed: async (connection = scope) => {
      const pipeline = next();
      const statuses: [number, number, number] = [next(), next(), next()];
      const all = listed.get(connection.connectionId) ?? [];
      all.push(
        pipelineDocument(
          pipeline,
          `Pipeline ${pipeline}`,
          statuses.map((id) => ({ id })),
        ),
      );
      listed.set(connection.connectionId, all);
      await run((tx) => applyKommoPipelines(tx, connection, all));
      await connect(connection, pipeline, true);
      await run((tx) => applyKommoPipelines(tx, connection, all));
      return { pipeline, statuses };
    },
    follow: (pipeline, isFollowed = true) => connect(scope, pipeline, isFollowed),
    contact: (kommoId) =>
      one(sql`
        select id, name, last_name, push_name, custom_name, email, phone, jid, lid, kommo_id, custom_fields, source,
          do_not_contact, notes, created_at, updated_at, kommo_deleted_at
        from public.contacts
        where account_id = ${accountId} and id = (
          select contact_id from public.contact_identities
          where account_id = ${accountId} and kind = 'kommo' and value = ${String(kommoId)}
        )`),
    lead: (kommoId) =>
      one(sql`
        select lead.id, lead.title, lead.value, lead.currency, lead.status, lead.position, lead.assigned_to,
          lead.notes, lead.custom_fields, lead.close_reason, lead.closed_at, lead.archived_at, lead.deleted_at,
          lead.kommo_deleted_at, lead.created_at, lead.updated_at, lead.contact_id, lead.source,
          stage.kommo_id as status_id, pipeline.kommo_id as pipeline_kommo_id
        from public.leads as lead
        join public.pipeline_stages as stage on stage.id = lead.stage_id
        join public.pipelines as pipeline on pipeline.id = lead.pipeline_id
        where lead.account_id = ${accountId} and lead.kommo_id = ${kommoId}`),
    identities: async (contactId) =>
      (
        await db.query(sql`
          select kind || ' ' || value as identity from public.contact_identities
          where account_id = ${accountId} and contact_id = ${contactId} order by 1`)
      ).map((row) => row['identity'] ?? ''),
    tagsOf: async (kind, id) => namesOf(db, kind, id),
  };
}

async function namesOf(db: Queries, kind: 'lead' | 'contact', id: number): Promise<string[]> {
  const rows = await db.query(
    kind === 'lead'
      ? sql`select tag.name from public.lead_tags as link join public.tags as tag on tag.id = link.tag_id
            where link.lead_id = ${id} order by tag.name`
      : sql`select tag.name from public.contact_tags as link join public.tags as tag on tag.id = link.tag_id
            where link.contact_id = ${id} order by tag.name`,
  );
  return rows.map((row) => row['name'] ?? '');
}
