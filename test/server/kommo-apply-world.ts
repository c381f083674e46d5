import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { applyKommoContacts } from '../../server/commands/apply-kommo-contacts.ts';
import { applyKommoLeads } from '../../server/commands/apply-kommo-leads.ts';
import type { Applied, KommoScope } from '../../server/commands/apply-kommo-looks.ts';
import { applyKommoPipelines } from '../../server/commands/apply-kommo-pipelines.ts';
import type { KommoPipeline } from '../../server/kommo/documents.ts';
import { openCommandWorld, type CommandWorld } from './commands/command-world.ts';
import {
  contactDocument,
  leadDocument,
  pipelineDocument,
  type ContactGiven,
  type LeadGiven,
} from './kommo-apply-documents.ts';

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
  /** A lead of a Kommo contact of its own, which is there. */
  newKommoLead(given: Omit<LeadGiven, 'id' | 'contacts'>): Promise<LeadGiven & { contact: number }>;
  contact(kommoId: number): Promise<TextRow>;
  lead(kommoId: number): Promise<TextRow>;
  identities(contactId: number): Promise<string[]>;
  tagsOf(kind: 'lead' | 'contact', id: number): Promise<string[]>;
};

export async function openApplyWorld(): Promise<ApplyWorld> {
  const world = await openCommandWorld();
  const { accountId, db } = world;
  let numbers = 1_000;
  const next = (): number => (numbers += 10);
  const newConnection = async (): Promise<KommoScope> => {
    const { id } = await world.one(sql`
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
  const contacts: ApplyWorld['contacts'] = (...given) =>
    world.run((tx) => applyKommoContacts(tx, scope, given.map(contactDocument)));
  const leads: ApplyWorld['leads'] = (...given) =>
    world.run((tx) => applyKommoLeads(tx, scope, given.map(leadDocument)));
  return {
    ...world,
    scope,
    next,
    newConnection,
    contacts,
    leads,
    newKommoLead: async (given) => {
      const [id, contact] = [next(), next()];
      await contacts({ id: contact });
      await leads({ ...given, id, contacts: [contact] });
      return { ...given, id, contacts: [contact], contact };
    },
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
      await world.run((tx) => applyKommoPipelines(tx, connection, all));
      await connect(connection, pipeline, true);
      await world.run((tx) => applyKommoPipelines(tx, connection, all));
      return { pipeline, statuses };
    },
    follow: (pipeline, isFollowed = true) => connect(scope, pipeline, isFollowed),
    contact: (kommoId) =>
      world.one(sql`
        select id, name, last_name, push_name, custom_name, email, phone, jid, lid, kommo_id, custom_fields, source,
          do_not_contact, notes, created_at, updated_at, kommo_deleted_at
        from public.contacts
        where account_id = ${accountId} and id = (
          select contact_id from public.contact_identities
          where account_id = ${accountId} and kind = 'kommo' and value = ${String(kommoId)}
        )`),
    lead: (kommoId) =>
      world.one(sql`
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
