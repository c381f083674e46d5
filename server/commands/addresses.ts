import { ClarinError } from '../../domain/errors.ts';
import { parseJid, USER_SERVER } from '../../domain/jid.ts';
import { normalizePhone, phoneLookups, phoneMatchKey } from '../../domain/phone.ts';
import { sql, type Sql } from '../../platform/sql.ts';

/** What somebody is known by, as it came; any of it may be missing. */
export type GivenAddresses = {
  /** Of a person, by number or by LID, or of a group. */
  readonly jid?: string | undefined;
  readonly lid?: string | undefined;
  /** E.164 digits. */
  readonly phone?: string | undefined;
  readonly kommoId?: number | undefined;
};

/** The same as it is stored. A JID by number says the phone too; one by LID is a `lid`. */
export type Addresses = GivenAddresses & { readonly isGroup: boolean };

export type Identity = {
  readonly kind: 'kommo' | 'jid' | 'lid' | 'phone';
  readonly value: string;
};

/** @throws ClarinError unprocessable: not an address, or one that nobody has a conversation with (lists, channels). */
export function readAddresses(given: GivenAddresses): Addresses {
  const { kommoId, phone } = given;
  const jid = given.jid === undefined ? undefined : parseJid(given.jid);
  const lid = given.lid === undefined ? undefined : parseJid(given.lid);
  if (given.jid !== undefined && !isPlace(jid?.kind)) throw noAddress('jid');
  if (given.lid !== undefined && lid?.kind !== 'lid') throw noAddress('lid');
  const isLid = jid?.kind === 'lid';
  return {
    jid: isLid ? undefined : jid?.address,
    lid: lid?.address ?? (isLid ? jid.address : undefined),
    phone: phone ?? (jid?.kind === 'user' ? phoneOf(jid) : undefined),
    kommoId,
    isGroup: jid?.kind === 'group',
  };
}

function isPlace(kind: string | undefined): boolean {
  return kind === 'user' || kind === 'lid' || kind === 'group';
}

function noAddress(field: 'jid' | 'lid'): ClarinError {
  return new ClarinError('unprocessable', 'this is no address of a person or a group', {
    details: { field },
  });
}

/** WhatsApp has called every number it knows, so one that no numbering plan has yet is one all the same. */
function phoneOf({ user, address }: { user: string; address: string }): string {
  const phone = normalizePhone(address, '');
  return phone.ok ? phone.e164 : user;
}

/** What the addresses are looked up by in contact_identities, the most trusted first. */
export function identitiesOf({ kommoId, jid, lid, phone }: GivenAddresses): Identity[] {
  const identities: Identity[] = [];
  if (kommoId !== undefined) identities.push({ kind: 'kommo', value: String(kommoId) });
  if (jid !== undefined) identities.push({ kind: 'jid', value: jid });
  if (lid !== undefined) identities.push({ kind: 'lid', value: lid });
  if (phone !== undefined) identities.push({ kind: 'phone', value: phoneMatchKey(phone) });
  return identities;
}

/** A query of the contacts that any of the addresses resolves to. */
export function contactsWith(accountId: number, addresses: GivenAddresses): Sql {
  const identities = identitiesOf(addresses);
  return sql`
    select identity.contact_id
    from unnest(
      ${identities.map(({ kind }) => kind)}::text[], ${identities.map(({ value }) => value)}::text[]
    ) as given (kind, value)
    join public.contact_identities as identity
      on identity.account_id = ${accountId} and identity.kind = given.kind and identity.value = given.value`;
}

/**
 * Under which JIDs a chat with these addresses may be stored, the one to begin a new chat with first: as WhatsApp said
 * it, else made of the number. It may know the number by another spelling; what it says then replaces ours.
 */
export function chatJids(...known: readonly GivenAddresses[]): string[] {
  const jids = new Set<string>();
  for (const { jid } of known) if (jid !== undefined) jids.add(jid);
  for (const { lid } of known) if (lid !== undefined) jids.add(lid);
  for (const { phone } of known) {
    if (phone === undefined) continue;
    for (const user of [phone, ...phoneLookups(phone)]) jids.add(`${user}@${USER_SERVER}`);
  }
  return [...jids];
}

/** That two name one line of one person: a contact may have several numbers, and each has a chat of its own. */
export function isSameLine(one: GivenAddresses, other: GivenAddresses): boolean {
  const others = identitiesOf(other).filter(({ kind }) => kind !== 'kommo');
  return identitiesOf(one).some(({ kind, value }) =>
    others.some((identity) => identity.kind === kind && identity.value === value),
  );
}
