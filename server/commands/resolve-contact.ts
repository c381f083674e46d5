import { ClarinError } from '../../domain/errors.ts';
import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import {
  identitiesOf,
  readAddresses,
  type Addresses,
  type GivenAddresses,
  type Identity,
} from './addresses.ts';
import { mergeContacts } from './merge-contacts.ts';
import { storableText } from './storable-text.ts';

type Options = GivenAddresses & {
  readonly accountId: number;
  /** What somebody of the account calls them, or a group's subject: of a new contact only. */
  readonly name?: string | undefined;
  /** What they call themselves: kept up to date. */
  readonly pushName?: string | undefined;
  /** Where a new contact came from: `whatsapp`, `kommo`, `import`. */
  readonly source: string;
};

type Resolved = {
  readonly id: number;
  readonly created: boolean;
  /** Other contacts that some of the addresses resolve to: the same person twice, to be merged by whoever may. */
  readonly others: readonly number[];
};

type Wanted = Omit<Options, keyof GivenAddresses> & { readonly addresses: Addresses };
type Found = {
  readonly owners: readonly number[];
  /** Those of them of whom nothing but a LID is known. */
  readonly lidOnly: readonly number[];
  readonly hasAll: boolean;
  readonly pushName: string | null;
};

/** The first half of an advisory lock; nothing else uses it. */
const LOCK_CLASS = 0x636f6e74;
const NAME_MAX = 200;
/** Somebody may delete or merge the contact between two looks. */
const ATTEMPTS_MAX = 3;

/**
 * Finds the contact that any of the addresses resolves to, Kommo's id before the JID before the LID before the phone
 * (by its key, see phoneMatchKey), or makes one. A known contact gets the addresses that resolve to nobody yet. Two
 * first messages of one person that come at once make one contact: whoever would make it waits for the other. A contact
 * of whom only the LID was known becomes one with the contact whose number is now said to have that LID.
 *
 * One statement when everything is known, which then writes nothing; four for a new contact, five for a new address.
 * @throws ClarinError unprocessable for what is no address, `internal` without any.
 */
export async function resolveContact(tx: Queries, options: Options): Promise<Resolved> {
  const wanted = { ...options, addresses: readAddresses(options) };
  const found = await findContact(tx, wanted);
  const [id, ...others] = found.owners;
  if (id === undefined || !found.hasAll || mergeOf(found)) {
    return settleContact(tx, wanted, ATTEMPTS_MAX);
  }
  await keepPushName(tx, wanted, { id, pushName: found.pushName });
  return { id, created: false, others };
}

async function settleContact(tx: Queries, wanted: Wanted, attempts: number): Promise<Resolved> {
  await lockIdentities(tx, wanted.accountId, identitiesOf(wanted.addresses));
  const found = await findWhole(tx, wanted);
  const [id, ...others] = found.owners;
  if (id === undefined) {
    const made = await insertContact(tx, wanted);
    if (made !== undefined) return { id: made, created: true, others: [] };
  } else if (found.hasAll || (await addAddresses(tx, wanted, id))) {
    await keepPushName(tx, wanted, { id, pushName: found.pushName });
    return { id, created: false, others };
  }
  if (attempts > 1) return settleContact(tx, wanted, attempts - 1);
  throw new ClarinError('conflict', 'the contact was changed by somebody else at the same time');
}

/** WhatsApp has said of whom a LID is, so this is the one merge that needs no person to decide it. */
function mergeOf({ owners, lidOnly }: Found): { id: number; contactIds: number[] } | undefined {
  const id = owners.find((owner) => !lidOnly.includes(owner));
  if (id === undefined || lidOnly.length === 0) return undefined;
  return { id, contactIds: [...lidOnly] };
}

async function findWhole(tx: Queries, wanted: Wanted): Promise<Found> {
  const found = await findContact(tx, wanted);
  const merge = mergeOf(found);
  if (!merge) return found;
  await mergeContacts(tx, { accountId: wanted.accountId, ...merge, sees: () => true });
  return findContact(tx, wanted);
}

async function findContact(tx: Queries, { accountId, addresses }: Wanted): Promise<Found> {
  const identities = identitiesOf(addresses);
  if (identities.length === 0) throw new ClarinError('internal', 'a contact without an address');
  const rows = await tx.query(sql`
    select identity.contact_id, contact.push_name,
      not contact.is_group and not exists (
        select from public.contact_identities as any_of
        where any_of.account_id = ${accountId} and any_of.contact_id = contact.id and any_of.kind <> 'lid'
      ) as is_lid_only
    from unnest(
      ${identities.map(({ kind }) => kind)}::text[], ${identities.map(({ value }) => value)}::text[]
    ) with ordinality as wanted (kind, value, place)
    join public.contact_identities as identity
      on identity.account_id = ${accountId} and identity.kind = wanted.kind and identity.value = wanted.value
    join public.contacts as contact
      on contact.account_id = identity.account_id and contact.id = identity.contact_id
    order by wanted.place`);
  const idsOf = (some: readonly TextRow[]): number[] => [
    ...new Set(some.map((row) => Number(row['contact_id']))),
  ];
  return {
    owners: idsOf(rows),
    lidOnly: idsOf(rows.filter((row) => row['is_lid_only'] === 't')),
    hasAll: rows.length === identities.length,
    pushName: rows[0]?.['push_name'] ?? null,
  };
}

/**
 * Who would make contacts by these addresses waits for each other, until the transaction ends; in one order, so that two
 * who share two addresses do not wait for ever. A transaction takes all it needs at once, and before it locks rows.
 */
export async function lockIdentities(
  tx: Queries,
  accountId: number,
  identities: readonly Identity[],
): Promise<void> {
  if (identities.length === 0) return;
  const names = identities.map(({ kind, value }) => `${accountId} ${kind} ${value}`);
  await tx.query(sql`
    select pg_advisory_xact_lock(${LOCK_CLASS}, wanted.key)
    from (
      select distinct hashtext(name) as key from unnest(${names}::text[]) as name order by key
    ) as wanted`);
}

/** Undefined: somebody who knows nothing of the lock was faster. */
async function insertContact(tx: Queries, wanted: Wanted): Promise<number | undefined> {
  const { accountId, name, pushName, source } = wanted;
  const { jid, lid, phone, kommoId, isGroup } = wanted.addresses;
  const [row] = await tx.query(sql`
    insert into public.contacts (account_id, jid, lid, phone, kommo_id, name, push_name, is_group, source)
    values (
      ${accountId}, ${jid ?? null}, ${lid ?? null}, ${phone ?? null}, ${kommoId ?? null},
      ${storableText(name, NAME_MAX) ?? null}, ${storableText(pushName, NAME_MAX) ?? null}, ${isGroup}, ${source}
    )
    on conflict do nothing
    returning id`);
  return row ? Number(row['id']) : undefined;
}

/**
 * Addresses that resolve to nobody resolve to this contact from now on, and fill what it lacks. One of another kind
 * than its own (a second number) is an identity only. False: the contact is gone.
 */
async function addAddresses(tx: Queries, wanted: Wanted, id: number): Promise<boolean> {
  const { accountId, addresses } = wanted;
  const identities = identitiesOf(addresses);
  const rows = await tx.query(sql`
    insert into public.contact_identities (account_id, contact_id, kind, value)
    select contact.account_id, contact.id, wanted.kind, wanted.value
    from unnest(
      ${identities.map(({ kind }) => kind)}::text[], ${identities.map(({ value }) => value)}::text[]
    ) as wanted (kind, value)
    join public.contacts as contact on contact.account_id = ${accountId} and contact.id = ${id}
    on conflict (account_id, kind, value) do nothing
    returning kind`);
  if (rows.length === 0) return false;
  await fillAddresses(tx, wanted, { id, gained: rows });
  return true;
}

async function fillAddresses(
  tx: Queries,
  { accountId, addresses }: Wanted,
  { id, gained }: { id: number; gained: readonly TextRow[] },
): Promise<void> {
  const ifGained = <T>(kind: string, value: T | undefined): T | null =>
    gained.some((row) => row['kind'] === kind) ? (value ?? null) : null;
  const { jid, lid, phone, kommoId } = addresses;
  await tx.query(sql`
    update public.contacts as contact
    set jid = coalesce(contact.jid, wanted.jid), lid = coalesce(contact.lid, wanted.lid),
      phone = coalesce(contact.phone, wanted.phone), kommo_id = coalesce(contact.kommo_id, wanted.kommo_id)
    from (
      values (
        ${ifGained('jid', jid)}::text, ${ifGained('lid', lid)}::text, ${ifGained('phone', phone)}::text,
        ${ifGained('kommo', kommoId)}::bigint
      )
    ) as wanted (jid, lid, phone, kommo_id)
    where contact.account_id = ${accountId} and contact.id = ${id}
      and (
        (contact.jid is null and wanted.jid is not null)
        or (contact.lid is null and wanted.lid is not null)
        or (contact.phone is null and wanted.phone is not null)
        or (contact.kommo_id is null and wanted.kommo_id is not null)
      )`);
}

/** Writes nothing for a name that is known. */
export async function keepPushName(
  tx: Queries,
  { accountId, pushName }: { accountId: number; pushName?: string | undefined },
  contact: { id: number; pushName: string | null },
): Promise<void> {
  const name = storableText(pushName, NAME_MAX);
  if (name === undefined || name === contact.pushName) return;
  await tx.query(sql`
    update public.contacts
    set push_name = ${name}
    where account_id = ${accountId} and id = ${contact.id} and push_name is distinct from ${name}`);
}
