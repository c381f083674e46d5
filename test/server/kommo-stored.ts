import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { isFrozen, UNSAID, type Truth } from './kommo-truth.ts';

type Scope = { readonly accountId: number; readonly id: number };

/** The same by what Postgres holds, as people see it: under the names of kommo-truth.ts. */
export async function storedOf(db: Queries, scope: Scope): Promise<Map<string, string>> {
  const stored = new Map<string, string>();
  await addContacts(db, scope, stored);
  await addLeads(db, scope, stored);
  await addCatalogue(db, scope, stored);
  return stored;
}

async function addContacts(
  db: Queries,
  { accountId }: Scope,
  stored: Map<string, string>,
): Promise<void> {
  const rows = await db.query(sql`
    select contact.kommo_id, contact.name, contact.last_name, contact.email, contact.phone, contact.custom_fields,
      contact.kommo_deleted_at is not null as is_gone,
      (
        select json_agg(lower(tag.name))
        from public.contact_tags as link
        join public.tags as tag on tag.account_id = link.account_id and tag.id = link.tag_id
        where link.account_id = contact.account_id and link.contact_id = contact.id
      ) as tags,
      (
        select json_agg(identity.value)
        from public.contact_identities as identity
        where identity.account_id = contact.account_id and identity.contact_id = contact.id and identity.kind = 'phone'
      ) as phones
    from public.contacts as contact
    where contact.account_id = ${accountId} and contact.kommo_id is not null`);
  for (const row of rows) {
    const key = `contact ${row['kommo_id']}`;
    const said = {
      name: row['name'] ?? null,
      lastName: row['last_name'] ?? null,
      email: row['email'] ?? null,
      phone: row['phone'] ?? null,
      fields: fieldsOf(row['custom_fields']),
    };
    stored.set(key, row['is_gone'] === 't' ? 'gone' : JSON.stringify(said));
    for (const name of listOf(row['tags'])) stored.set(`${key} tag ${name}`, '');
    for (const phone of listOf(row['phones'])) stored.set(`${key} phone ${phone}`, '');
  }
}

async function addLeads(
  db: Queries,
  { accountId }: Scope,
  stored: Map<string, string>,
): Promise<void> {
  const rows = await db.query(sql`
    select lead.kommo_id, lead.title, lead.value, lead.currency, pipeline.kommo_id as pipeline, stage.kommo_id as stage,
      lead.assigned_to, lead.close_reason, extract(epoch from lead.closed_at)::bigint as closed_at, lead.custom_fields,
      contact.kommo_id as contact, contact.name as contact_name,
      contact.kommo_deleted_at is not null as is_contact_gone,
      lead.archived_at is not null as is_archived, lead.deleted_at is not null as is_trashed,
      lead.kommo_deleted_at is not null as is_gone,
      (
        select json_agg(lower(tag.name))
        from public.lead_tags as link
        join public.tags as tag on tag.account_id = link.account_id and tag.id = link.tag_id
        where link.account_id = lead.account_id and link.lead_id = lead.id
      ) as tags
    from public.leads as lead
    join public.contacts as contact on contact.account_id = lead.account_id and contact.id = lead.contact_id
    join public.pipeline_stages as stage on stage.account_id = lead.account_id and stage.id = lead.stage_id
    join public.pipelines as pipeline on pipeline.account_id = lead.account_id and pipeline.id = lead.pipeline_id
    where lead.account_id = ${accountId} and lead.kommo_id is not null`);
  for (const row of rows) {
    const key = `lead ${row['kommo_id']}`;
    const said = {
      title: row['title'],
      value: row['value'],
      currency: row['currency'],
      pipeline: numberOf(row['pipeline']),
      stage: numberOf(row['stage']),
      owner: numberOf(row['assigned_to']),
      reason: row['close_reason'] ?? null,
      closedAt: numberOf(row['closed_at']),
      fields: fieldsOf(row['custom_fields']),
      contact: row['is_contact_gone'] === 't' ? UNSAID : numberOf(row['contact']),
    };
    const [isArchived, isTrashed, isGone] = ['is_archived', 'is_trashed', 'is_gone'].map(
      (name) => row[name] === 't',
    );
    const state = isGone && isTrashed ? 'gone' : isArchived && !isTrashed ? 'away' : undefined;
    stored.set(key, state ?? JSON.stringify(isGone || isTrashed ? { ...said, isTrashed } : said));
    if (row['contact'] === null) stored.set(`${key} own contact`, row['contact_name'] ?? '');
    for (const name of listOf(row['tags'])) stored.set(`${key} tag ${name}`, '');
  }
}

async function addCatalogue(
  db: Queries,
  { accountId, id }: Scope,
  stored: Map<string, string>,
): Promise<void> {
  const stages = await db.query(sql`
    select pipeline.kommo_id as pipeline, pipeline.name, stage.kommo_id as stage, stage.name as stage_name, stage.color
    from public.kommo_pipelines as listed
    join public.pipelines as pipeline on pipeline.account_id = listed.account_id and pipeline.id = listed.pipeline_id
    join public.pipeline_stages as stage
      on stage.account_id = pipeline.account_id and stage.pipeline_id = pipeline.id
    where listed.account_id = ${accountId} and listed.connection_id = ${id} and listed.is_connected
      and stage.kommo_id is not null
    order by stage.pipeline_id, stage.position`);
  for (const row of stages) {
    const order = `order ${row['pipeline']}`;
    stored.set(order, `${stored.get(order) ?? ''} ${row['stage']}`.trim());
    stored.set(`pipeline ${row['pipeline']}`, row['name'] ?? '');
    stored.set(
      `stage ${row['pipeline']} ${row['stage']}`,
      JSON.stringify([row['stage_name'], row['color']]),
    );
  }
  const tags = await db.query(sql`
    select lower(name) as name from public.tags where account_id = ${accountId}`);
  for (const row of tags) stored.set(`tag ${row['name']}`, '');
}

const numberOf = (text: string | null | undefined): number | null => (text ? Number(text) : null);
const listOf = (json: string | null | undefined): string[] => JSON.parse(json ?? '[]') as string[];

function fieldsOf(json: string | null | undefined): [string, unknown][] {
  const fields = JSON.parse(json ?? '{}') as Record<string, unknown>;
  return Object.entries(fields).toSorted(([one], [other]) => (one < other ? -1 : 1));
}

type Wanted = {
  readonly truth: Truth;
  /** Phones that lead to one of those who have or had them, or to nobody. */
  readonly shared: ReadonlySet<string>;
};

/** Why they differ, line by line; empty when they do not. */
export function differences(
  { truth, shared }: Wanted,
  stored: ReadonlyMap<string, string>,
): string[] {
  return [...new Set([...truth.keys(), ...stored.keys()])].flatMap((key) => {
    const [wanted, found] = [truth.get(key), stored.get(key)];
    if (isFrozen(truth, key) || isSame(key, wanted, found)) return [];
    if (isOfNoInterest(key, { truth, found, shared })) return [];
    return [`${key}: ${found ?? 'nothing'} is ${wanted ?? 'nothing'} in Kommo`];
  });
}

function isSame(key: string, wanted: string | undefined, found: string | undefined): boolean {
  if (wanted === found) return true;
  if (key.startsWith('order ')) {
    const ids = new Set(wanted?.split(' '));
    return (
      wanted ===
      found
        ?.split(' ')
        .filter((id) => ids.has(id))
        .join(' ')
    );
  }
  if (!wanted?.startsWith('{') || !found?.startsWith('{')) return false;
  const [one, other] = [wanted, found].map((text) => JSON.parse(text) as Record<string, unknown>);
  if (one?.['contact'] !== UNSAID) return false;
  return JSON.stringify(one) === JSON.stringify({ ...other, contact: UNSAID });
}

type Context = Wanted & { readonly found: string | undefined };

function isOfNoInterest(key: string, { truth, found, shared }: Context): boolean {
  const [entity, id, what, name = ''] = key.split(' ');
  // What is not there (any more) need never have been ours; a contact or a lead that was, is marked.
  if (truth.get(key) === 'gone' || truth.get(key) === 'away') return found === undefined;
  if (found === 'gone' && !truth.has(key)) return true;
  if (what === 'phone' && truth.has(key) && shared.has(name)) return true;
  // The contact that it names and that is gone was never ours.
  if (what === 'own') return truth.get(`lead ${id}`)?.includes(`"contact":"${UNSAID}"`) === true;
  // Of people, and of before.
  return found !== undefined && (entity === 'tag' || entity === 'stage' || entity === 'pipeline');
}
