import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import type { ContactTarget } from './apply-kommo-contact-plan.ts';
import { settleLinks } from './apply-kommo-links.ts';
import { planAnew, type KommoScope } from './apply-kommo-looks.ts';

const SOURCE = 'kommo';

/**
 * Targets become rows: what differs of the known contacts, then the phones that no longer lead to them, so that they are
 * free, then the new contacts, all further phones, tags, and last how each of them looked.
 */
export async function writeContacts(
  tx: Queries,
  scope: KommoScope,
  targets: readonly ContactTarget[],
): Promise<void> {
  const made = targets.filter(({ contact }) => !contact);
  await updateContacts(tx, scope, targets);
  await freePhones(tx, scope, targets);
  const ids = await insertContacts(tx, scope, made);
  const placed = targets.map((target) => ({
    target,
    contactId: target.contact?.id ?? ids.get(target.look.id) ?? 0,
  }));
  await addAddresses(tx, scope, placed);
  await writeLooks(tx, scope, placed);
}

/**
 * Statements that name a row's key lock it against all who refer to it: so only those do that have to. Each row is looked
 * up by itself, so that no plan reads the account; they are held, so that they are still in their place.
 */
async function updateContacts(
  tx: Queries,
  { accountId }: KommoScope,
  targets: readonly ContactTarget[],
): Promise<void> {
  const rows = targets.flatMap(({ look, contact, values, isAdopted }) =>
    contact && values
      ? [{ ...values, id: contact.id, kommo_id: look.id, is_adopted: isAdopted }]
      : [],
  );
  if (rows.length === 0) return;
  const set = sql`
    name = given.name, last_name = given.last_name, email = given.email, phone = given.phone,
    kommo_deleted_at = null,
    custom_fields = case
      when contact.custom_fields = clarin.take_fields(contact.custom_fields, given.gone_fields, given.custom_fields)
        then contact.custom_fields
      else clarin.take_fields(contact.custom_fields, given.gone_fields, given.custom_fields)
    end`;
  const differs = sql`
    (contact.name, contact.last_name, contact.email, contact.phone, contact.kommo_deleted_at, contact.custom_fields)
      is distinct from (given.name, given.last_name, given.email, given.phone, null::timestamptz,
        clarin.take_fields(contact.custom_fields, given.gone_fields, given.custom_fields))`;
  await tx.query(sql`
    with given as materialized (
      select held.place, given.kommo_id, given.is_adopted, given.name, given.last_name, given.email, given.phone,
        given.custom_fields, given.gone_fields
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as given (
        id bigint, kommo_id bigint, is_adopted boolean, name text, last_name text, email text, phone text,
        custom_fields jsonb, gone_fields text[]
      )
      cross join lateral (
        select contact.ctid as place
        from public.contacts as contact
        where contact.account_id = ${accountId} and contact.id = given.id
        limit 1
      ) as held
    ),
    adopted as (
      update public.contacts as contact
      set kommo_id = given.kommo_id, ${set}
      from given
      where contact.ctid = given.place and contact.account_id = ${accountId} and given.is_adopted
    )
    update public.contacts as contact
    set ${set}
    from given
    where contact.ctid = given.place and contact.account_id = ${accountId} and not given.is_adopted and ${differs}`);
}

async function freePhones(
  tx: Queries,
  { accountId }: KommoScope,
  targets: readonly ContactTarget[],
): Promise<void> {
  const gone = targets.flatMap(({ contact, goneKeys }) =>
    contact ? goneKeys.map((key) => ({ id: contact.id, key })) : [],
  );
  if (gone.length === 0) return;
  await tx.query(sql`
    delete from public.contact_identities as identity
    using unnest(${gone.map(({ id }) => id)}::bigint[], ${gone.map(({ key }) => key)}::text[]) as gone (id, key)
    where identity.account_id = ${accountId} and identity.contact_id = gone.id
      and identity.kind = 'phone' and identity.value = gone.key`);
}

/** Ids of the new contacts by Kommo's. */
async function insertContacts(
  tx: Queries,
  { accountId }: KommoScope,
  targets: readonly ContactTarget[],
): Promise<Map<number, number>> {
  const given = targets.flatMap(({ look, values }, at) =>
    values ? [{ ...values, at, kommo_id: look.id, created_at: look.createdAt }] : [],
  );
  if (given.length === 0) return new Map();
  await planAnew(tx, given.length);
  const rows = await tx.query(sql`
    insert into public.contacts (
      account_id, kommo_id, name, last_name, email, phone, custom_fields, source, created_at
    )
    select ${accountId}::bigint, given.kommo_id, given.name, given.last_name, given.email, given.phone,
      given.custom_fields, ${SOURCE}, given.created_at
    from jsonb_to_recordset(${JSON.stringify(given)}::jsonb) as given (
      at integer, kommo_id bigint, name text, last_name text, email text, phone text, custom_fields jsonb,
      created_at timestamptz
    )
    order by given.at
    returning id, kommo_id`);
  return new Map(rows.map((row) => [Number(row['kommo_id']), Number(row['id'])]));
}

type Placed = { readonly target: ContactTarget; readonly contactId: number };

/**
 * The first one keeps a phone that two have. Each is looked up by itself, so that no plan reads the account. The id of a
 * Kommo contact that was merged into another one leads to that one, also when it had been deleted meanwhile.
 */
async function addAddresses(
  tx: Queries,
  { accountId }: KommoScope,
  placed: readonly Placed[],
): Promise<void> {
  const added = placed.flatMap(({ target: { look, isUnnamed, newKeys }, contactId }) => [
    ...newKeys.map((key) => ({ contactId, kind: 'phone', key })),
    ...(isUnnamed ? [{ contactId, kind: 'kommo', key: String(look.id) }] : []),
  ]);
  if (added.length === 0) return;
  await tx.query(sql`
    insert into public.contact_identities (account_id, contact_id, kind, value)
    select ${accountId}::bigint, given.contact_id, given.kind, given.key
    from unnest(${added.map(({ contactId }) => contactId)}::bigint[], ${added.map(({ kind }) => kind)}::text[],
      ${added.map(({ key }) => key)}::text[]) with ordinality as given (contact_id, kind, key, place)
    left join lateral (
      select identity.id
      from public.contact_identities as identity
      where identity.account_id = ${accountId} and identity.kind = given.kind and identity.value = given.key
      limit 1
    ) as taken on true
    where taken.id is null
    order by given.place
    on conflict (account_id, kind, value) do nothing`);
}

async function writeLooks(
  tx: Queries,
  scope: KommoScope,
  placed: readonly Placed[],
): Promise<void> {
  const tags = new Map<number, number[]>();
  for (const { target, contactId } of placed)
    tags.set(contactId, [
      ...(tags.get(contactId) ?? []),
      ...target.look.tags.map(({ id }) => id),
      ...target.otherTags,
    ]);
  const rows = placed.map(({ target: { look, values, given }, contactId }) => ({
    kommo_id: look.id,
    row_id: contactId,
    hash: look.hash,
    updated_at: look.updatedAt,
    given,
    // A contact has the tags of all that were merged into it; whose a link is nobody knows, so only its own look takes off.
    tags: [...new Set(tags.get(contactId))],
    is_added: !values,
  }));
  await tx.query(sql`
    with given as materialized (
      select given.kommo_id, given.row_id, given.hash, given.updated_at, given.given, given.tags, given.is_added
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as given (
        kommo_id bigint, row_id bigint, hash text, updated_at bigint, given text[], tags bigint[],
        is_added boolean
      )
    ),
    ${settleLinks(scope, 'contact')}
    insert into private.kommo_contacts as known (
      connection_id, kommo_id, account_id, contact_id, hash, source_updated_at, given
    )
    select ${scope.connectionId}::bigint, given.kommo_id, ${scope.accountId}::bigint, given.row_id,
      decode(given.hash, 'hex'), given.updated_at, given.given
    from given
    order by given.kommo_id
    on conflict (connection_id, kommo_id) do update
      set contact_id = excluded.contact_id, hash = excluded.hash, source_updated_at = excluded.source_updated_at,
        given = excluded.given, deleted_at = null`);
}
