import {
  IMPORTED_COLUMNS,
  type Address,
  type CheckedContact,
} from '../../platform/csv/contact-record.ts';
import type { Queries, TextRow } from '../../platform/postgres.ts';
import { column, ident, join, sql, type Sql } from '../../platform/sql.ts';
import { mereName, type KnownContact } from './import-plan.ts';

/** Beside the kinds of addresses. */
const EMAIL = 'email';
const NAME = 'name';

type Finding = { accountId: number; rows: readonly CheckedContact[]; isLocked: boolean };

/**
 * Every contact that an address, an e-mail or a mere name of the rows leads to; of an e-mail at most two, the oldest and
 * the oldest that knows no phone. Locked in the order of ids. Each is looked up by itself, so that no plan reads the account.
 */
export async function findContacts(
  tx: Queries,
  { accountId, rows, isLocked }: Finding,
): Promise<KnownContact[]> {
  const addresses = rows.flatMap((row) => row.addresses);
  const emails = new Set(rows.flatMap(({ values }) => values['email']?.toLowerCase() ?? []));
  const names = new Map(rows.flatMap((row) => mereName(row) ?? []).map((name) => [name.key, name]));
  const given = [...names.values()];
  const found = await tx.query(sql`
    with addressed as materialized (
      select wanted.kind, wanted.value, known.contact_id
      from (
        select distinct given.kind, given.value
        from unnest(${addresses.map(({ kind }) => kind)}::text[], ${addresses.map(({ value }) => value)}::text[])
          as given (kind, value)
      ) as wanted
      cross join lateral (
        select identity.contact_id
        from public.contact_identities as identity
        where identity.account_id = ${accountId} and identity.kind = wanted.kind and identity.value = wanted.value
        limit 1
      ) as known
    ),
    mailed as materialized (
      select wanted.email, owners.oldest, owners.phoneless
      from unnest(${[...emails]}::text[]) as wanted (email)
      cross join lateral (
        -- Not min(): to find it, Postgres may walk along the ids of the whole account.
        select (array_agg(contact.id order by contact.id))[1] as oldest,
          (array_agg(contact.id order by contact.id) filter (where contact.phone is null))[1] as phoneless
        from public.contacts as contact
        where contact.account_id = ${accountId} and lower(contact.email) = lower(wanted.email) and not contact.is_group
      ) as owners
    ),
    called as materialized (
      select wanted.key, owner.id
      from unnest(${given.map(({ key }) => key)}::text[], ${given.map(({ called }) => called)}::text[],
        ${given.map(({ lastName }) => lastName)}::text[]) as wanted (key, called, last_name)
      cross join lateral (
        select contact.id
        from public.contacts as contact
        where contact.account_id = ${accountId} and contact.display_name = wanted.called
          and coalesce(contact.last_name, '') = wanted.last_name and not contact.is_group
          and coalesce(contact.phone, '') = '' and coalesce(contact.email, '') = '' and contact.jid is null
        order by contact.display_name, contact.id
        limit 1
      ) as owner
    )
    select contact.id, contact.custom_fields, ${join(IMPORTED_COLUMNS.map(selectText))}, wanted.found_by
    from (
      select named.id, json_agg(json_build_array(named.kind, named.value)) as found_by
      from (
        select contact_id as id, kind, value from addressed
        union all select oldest, ${EMAIL}, email from mailed
        union all select phoneless, ${EMAIL}, email from mailed
        union all select id, ${NAME}, key from called
      ) as named
      group by named.id
      order by named.id
    ) as wanted
    cross join lateral (
      select contact.id, contact.custom_fields, ${join(IMPORTED_COLUMNS.map((name) => column('contact', name)))}
      from public.contacts as contact
      where contact.account_id = ${accountId} and contact.id = wanted.id
      limit 1
      ${isLocked ? sql`for no key update of contact` : sql``}
    ) as contact
    order by contact.id`);
  return found.map(readKnown);
}

/** As texts that compare: a boolean's own output is a letter. */
function selectText(name: string): Sql {
  return sql`${column('contact', name)}::text as ${ident(name)}`;
}

function readKnown(row: TextRow): KnownContact {
  const foundBy = JSON.parse(row['found_by'] ?? '[]') as [string, string][];
  const valuesOf = (wanted: string): string[] =>
    foundBy.filter(([kind]) => kind === wanted).map(([, value]) => value);
  return {
    id: Number(row['id']),
    values: Object.fromEntries(IMPORTED_COLUMNS.map((name) => [name, row[name] ?? null])),
    customFields: JSON.parse(row['custom_fields'] ?? '{}') as Record<string, unknown>,
    addresses: foundBy
      .filter(([kind]) => kind !== EMAIL && kind !== NAME)
      .map(([kind, value]) => ({ kind: kind as Address['kind'], value })),
    emails: valuesOf(EMAIL),
    names: valuesOf(NAME),
  };
}
