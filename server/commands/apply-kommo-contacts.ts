import { ClarinError } from '../../domain/errors.ts';
import { phoneMatchKey } from '../../domain/phone.ts';
import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import type { KommoContact } from '../kommo/documents.ts';
import { mapContact, type MappedContact } from '../kommo/map-contact.ts';
import { judgeLook, newestLooks, type KnownLook } from '../kommo/map-looks.ts';
import { planContacts, type ContactPlan, type StoredContact } from './apply-kommo-contact-plan.ts';
import { writeContacts } from './apply-kommo-contact-writes.ts';
import {
  ensureTags,
  readKnown,
  selectKnown,
  selectKnownTags,
  takeOver,
  takeTurn,
  type Applied,
  type KommoScope,
} from './apply-kommo-looks.ts';
import { mergeContacts } from './merge-contacts.ts';
import { lockIdentities } from './resolve-contact.ts';
import { buryRows } from './tombstone-kommo.ts';

/** Somebody may delete or merge a contact between two looks at it; and after our own merges there is a second one. */
const ATTEMPTS_MAX = 4;

/**
 * A page of Kommo's contacts becomes contacts of ours. One statement when nothing of it is new, which then writes
 * nothing and locks nothing; at most thirteen otherwise, however many rows there are, and some twelve more for each
 * contact that turns out to be another one's (mergeContacts). Older looks than the one that was written change nothing.
 *
 * Two first messages and a page of the same people at once make each of them once: it waits as resolveContact does.
 * @throws ClarinError conflict when somebody changed the same contacts again and again; the same page once more finds
 * them. Nothing that a document may say is refused: texts and numbers are cut where their columns end.
 */
export async function applyKommoContacts(
  tx: Queries,
  scope: KommoScope,
  contacts: readonly KommoContact[],
): Promise<Applied> {
  const first = await lookAt(tx, scope, newestLooks(contacts));
  const looks = first.looks.filter(
    (look) => judgeLook(look, first.known.get(look.id)) !== 'nothing',
  );
  if (looks.length === 0) return { changed: 0, unchanged: contacts.length };
  await takeTurn(tx, scope);
  await takeOver(tx, scope, 'contact', first.known);
  await lockIdentities(tx, scope.accountId, phoneIdentitiesOf(looks));
  const { targets, tombstones } = await settlePlan(tx, scope, looks);
  if (targets.length > 0) {
    const tags = new Map(
      targets.flatMap(({ look }) => look.tags.map((tag) => [tag.id, tag] as const)),
    );
    for (const id of first.knownTags) tags.delete(id);
    await ensureTags(tx, scope, 'contact', [...tags.values()]);
    await writeContacts(tx, scope, targets);
  }
  const buried = await buryRows(
    tx,
    scope,
    'contact',
    tombstones.map(({ id, updatedAt }) => ({ id, at: updatedAt })),
  );
  const changed = targets.length + buried;
  return { changed, unchanged: contacts.length - changed };
}

type FirstLook = {
  readonly looks: readonly MappedContact[];
  readonly known: Map<number, KnownLook>;
  readonly knownTags: readonly number[];
};

async function lookAt(
  tx: Queries,
  scope: KommoScope,
  contacts: readonly KommoContact[],
): Promise<FirstLook> {
  const tagIds = contacts.flatMap(({ _embedded }) => _embedded?.tags?.map(({ id }) => id) ?? []);
  const ids = contacts.map(({ id }) => id);
  const [row] = await tx.query(sql`
    select account.default_country, ${selectKnown(scope, 'contact', ids)} as known,
      ${selectKnownTags(scope, 'contact', [...new Set(tagIds)])} as tags
    from public.accounts as account
    where account.id = ${scope.accountId}`);
  const country = row?.['default_country'] ?? '';
  return {
    looks: contacts.map((contact) => mapContact(contact, country)),
    known: readKnown(row?.['known']),
    knownTags: JSON.parse(row?.['tags'] ?? '[]') as number[],
  };
}

function phoneIdentitiesOf(looks: readonly MappedContact[]) {
  return looks.flatMap(({ phones }) =>
    phones.map((phone) => ({ kind: 'phone', value: phoneMatchKey(phone) }) as const),
  );
}

/** Reads what the looks lead to, held until the transaction ends, and merges until everybody is one. */
async function settlePlan(
  tx: Queries,
  scope: KommoScope,
  looks: readonly MappedContact[],
): Promise<ContactPlan> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const stored = await readStored(tx, scope, looks);
    if (!stored) continue;
    const plan = planContacts(looks, stored);
    if (plan.merges.length === 0) return plan;
    for (const merge of plan.merges)
      await mergeContacts(tx, { accountId: scope.accountId, ...merge, sees: () => true });
  }
  throw new ClarinError('conflict', 'the contacts were changed by somebody else at the same time');
}

/**
 * In the order of their ids. Undefined: one of them was deleted or merged while it was waited for. Whatever is looked up
 * is looked up by itself (`limit 1`), so that no plan reads the account.
 */
async function readStored(
  tx: Queries,
  scope: KommoScope,
  looks: readonly MappedContact[],
): Promise<StoredContact[] | undefined> {
  const { accountId, connectionId } = scope;
  const ids = looks.map(({ id }) => id);
  const wanted = [
    ...ids.map((id) => ({ kind: 'kommo', value: String(id) })),
    ...phoneIdentitiesOf(looks),
  ];
  const rows = await tx.query(sql`
    with addressed as materialized (
      select known.id, wanted.kind || ' ' || wanted.value as address
      from (
        select distinct given.kind, given.value
        from unnest(${wanted.map(({ kind }) => kind)}::text[], ${wanted.map(({ value }) => value)}::text[])
          as given (kind, value)
      ) as wanted
      cross join lateral (
        select identity.contact_id as id
        from public.contact_identities as identity
        where identity.account_id = ${accountId} and identity.kind = wanted.kind and identity.value = wanted.value
        limit 1
      ) as known
      union all
      select known.contact_id, null
      from private.kommo_contacts as known
      where known.connection_id = ${connectionId} and known.kommo_id = any(${ids}::bigint[])
    ),
    found as materialized (
      select id, json_agg(address) filter (where address is not null) as addresses from addressed group by id
    ),
    held as materialized (
      select contact.id, contact.kommo_id, contact.jid, contact.phone, contact.name, contact.last_name,
        contact.email, contact.is_group, contact.kommo_deleted_at
      from (select id from found order by id) as found
      cross join lateral (
        select contact.id, contact.kommo_id, contact.jid, contact.phone, contact.name, contact.last_name,
          contact.email, contact.is_group, contact.kommo_deleted_at
        from public.contacts as contact
        where contact.account_id = ${accountId} and contact.id = found.id
        limit 1
        for update of contact
      ) as contact
    )
    select held.id, held.kommo_id, held.jid, held.phone, held.name, held.last_name, held.email, held.is_group,
      held.kommo_deleted_at is not null as is_deleted, found.addresses,
      (
        select true
        from public.contact_identities as identity
        where identity.account_id = ${accountId} and identity.contact_id = held.id and identity.kind = 'kommo'
        limit 1
      ) as is_kommo,
      (
        select json_agg(json_build_array(
          known.kommo_id, known.source_updated_at, encode(known.hash, 'hex'),
          extract(epoch from known.deleted_at)::bigint,
          case when known.connection_id = ${connectionId} then 'us' else 'other' end, to_json(known.given)
        ))
        from private.kommo_contacts as known
        join public.kommo_connections as keeper on keeper.id = known.connection_id
        where known.contact_id = held.id
          and (known.connection_id = ${connectionId} or keeper.status <> 'disconnected')
      ) as looks
    from found
    left join held on held.id = found.id
    order by found.id`);
  return rows.every((row) => row['id']) ? rows.map(readContact) : undefined;
}

function readContact(row: TextRow): StoredContact {
  type LookRow = [number, number, string, number | null, KnownLook['keeper'], string[]];
  const looks = JSON.parse(row['looks'] ?? '[]') as LookRow[];
  return {
    id: Number(row['id']),
    kommoId: row['kommo_id'] ? Number(row['kommo_id']) : null,
    jid: row['jid'] ?? null,
    phone: row['phone'] ?? null,
    name: row['name'] ?? null,
    lastName: row['last_name'] ?? null,
    email: row['email'] ?? null,
    isGroup: row['is_group'] === 't',
    isKommo: row['is_kommo'] === 't',
    isDeleted: row['is_deleted'] === 't',
    addresses: JSON.parse(row['addresses'] ?? '[]') as string[],
    looks: looks.map(([id, updatedAt, hash, deletedAt, keeper, given]) => ({
      id,
      updatedAt,
      hash,
      deletedAt,
      keeper,
      given,
    })),
  };
}
