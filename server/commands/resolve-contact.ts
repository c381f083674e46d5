import { phoneMatchKey } from '../../domain/phone.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/** Addresses of one person; whichever is known. */
export type Addresses = {
  readonly jid?: string | undefined;
  readonly lid?: string | undefined;
  /** E.164 digits. */
  readonly phone?: string | undefined;
  readonly kommoId?: number | undefined;
};

type Options = Addresses & {
  readonly accountId: number;
  /** What a new contact is called by its sender; also fills the gap of a known one. */
  readonly pushName?: string | undefined;
  readonly isGroup?: boolean;
  readonly source: string;
};

type Identity = { readonly kind: string; readonly value: string };

/** Any number nothing else uses as the first half of an advisory lock. */
const LOCK = 0x636f6e74;

/**
 * Finds the contact that any of the addresses resolves to, or makes one. A known contact gets the addresses it lacks;
 * nothing is written when it lacks none. Two first messages of one person that come at once make one contact: whoever
 * would make it waits for the other. One statement for a known contact, four for a new one.
 * @throws ClarinError `internal` without any address.
 */
export async function resolveContact(
  tx: Queries,
  options: Options,
): Promise<{ id: number; created: boolean }> {
  const identities = identitiesOf(options);
  if (identities.length === 0) throw new ClarinError('internal', 'a contact without an address');
  const known = await find(tx, options.accountId, identities);
  if (known !== undefined) return complete(tx, options, known);
  // In one order, so that two who share two addresses do not wait for each other.
  await tx.query(sql`
    select pg_advisory_xact_lock(${LOCK}, hashtext(address))
    from unnest(${identities.map(({ kind, value }) => `${options.accountId} ${kind} ${value}`)}::text[]) as address
    order by address`);
  const since = await find(tx, options.accountId, identities);
  if (since !== undefined) return complete(tx, options, since);
  const [made] = await tx.query(sql`
    insert into public.contacts (account_id, jid, lid, phone, kommo_id, push_name, is_group, source)
    values (${options.accountId}, ${options.jid ?? null}, ${options.lid ?? null}, ${options.phone ?? null},
      ${options.kommoId ?? null}, ${options.pushName ?? null}, ${options.isGroup ?? false}, ${options.source})
    returning id`);
  return { id: Number(made?.['id']), created: true };
}

/** In the order in which they are trusted. */
function identitiesOf({ jid, lid, phone, kommoId }: Addresses): Identity[] {
  const identities: Identity[] = [];
  if (kommoId !== undefined) identities.push({ kind: 'kommo', value: String(kommoId) });
  if (jid !== undefined) identities.push({ kind: 'jid', value: jid });
  if (lid !== undefined) identities.push({ kind: 'lid', value: lid });
  if (phone !== undefined) identities.push({ kind: 'phone', value: phoneMatchKey(phone) });
  return identities;
}

async function find(
  tx: Queries,
  accountId: number,
  identities: readonly Identity[],
): Promise<number | undefined> {
  const [row] = await tx.query(sql`
    select identity.contact_id
    from unnest(${identities.map(({ kind }) => kind)}::text[], ${identities.map(({ value }) => value)}::text[])
      with ordinality as wanted (kind, value, place)
    join public.contact_identities as identity
      on identity.account_id = ${accountId} and identity.kind = wanted.kind and identity.value = wanted.value
    order by wanted.place
    limit 1`);
  return row ? Number(row['contact_id']) : undefined;
}

/** Addresses it lacks, each only while it resolves to nobody; the newest name its owner gave it. */
async function complete(
  tx: Queries,
  options: Options,
  id: number,
): Promise<{ id: number; created: boolean }> {
  const { accountId, jid, lid, phone, kommoId, pushName } = options;
  await tx.query(sql`
    update public.contacts as contact
    set jid = coalesce(contact.jid, wanted.jid), lid = coalesce(contact.lid, wanted.lid),
      phone = coalesce(contact.phone, wanted.phone), kommo_id = coalesce(contact.kommo_id, wanted.kommo_id),
      push_name = coalesce(wanted.push_name, contact.push_name)
    from (
      select
        case when not exists (
          select from public.contact_identities
          where account_id = ${accountId} and kind = 'jid' and value = ${jid ?? null} and contact_id <> ${id}
        ) then ${jid ?? null}::text end as jid,
        case when not exists (
          select from public.contact_identities
          where account_id = ${accountId} and kind = 'lid' and value = ${lid ?? null} and contact_id <> ${id}
        ) then ${lid ?? null}::text end as lid,
        case when not exists (
          select from public.contact_identities
          where account_id = ${accountId} and kind = 'kommo' and value = ${kommoId ?? null}::bigint::text
            and contact_id <> ${id}
        ) then ${kommoId ?? null}::bigint end as kommo_id,
        ${phone ?? null}::text as phone,
        ${pushName ?? null}::text as push_name
    ) as wanted
    where contact.account_id = ${accountId} and contact.id = ${id}
      and (
        (contact.jid is null and wanted.jid is not null) or (contact.lid is null and wanted.lid is not null)
        or (contact.phone is null and wanted.phone is not null)
        or (contact.kommo_id is null and wanted.kommo_id is not null)
        or (wanted.push_name is not null and contact.push_name is distinct from wanted.push_name)
      )`);
  return { id, created: false };
}
