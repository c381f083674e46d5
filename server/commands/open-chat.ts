import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { chatJids, isSameLine, readAddresses, type GivenAddresses } from './addresses.ts';
import { explainReferences } from './refusals.ts';
import { resolveContact } from './resolve-contact.ts';
import { storableText } from './storable-text.ts';

type Opening = Pick<GivenAddresses, 'jid' | 'lid' | 'phone'> & {
  readonly accountId: number;
  readonly deviceId: number;
  /** Instead of an address: somebody who is known, by the address that is theirs. */
  readonly contactId?: number | undefined;
  /** Of a new chat, and of a contact that is made with it. */
  readonly name?: string | undefined;
  /** Of a contact that is made: what they call themselves. */
  readonly pushName?: string | undefined;
};

type Place = Pick<Opening, 'accountId' | 'deviceId'> & {
  readonly jids: readonly string[];
  /** A chat with this contact will do, whatever its address. */
  readonly anyOf?: number | undefined;
};

type OpenedChat = {
  readonly id: number;
  readonly created: boolean;
  readonly contactId: number;
  /** The contact was made with it. */
  readonly isNewContact: boolean;
};

/** A contact that is merged or deleted between two looks is looked for again. */
const ATTEMPTS_MAX = 3;
const NAME_MAX = 200;

/**
 * The chat with somebody through a device: the one there is, whichever address it was begun with, or a new one, with a
 * contact where there is none. One statement for a chat that is there, which writes nothing; six for a new contact.
 * @throws ClarinError unprocessable: no address of a person or a group, no such device, a contact without an address;
 * not_found: no such contact.
 */
export async function openChat(tx: Queries, options: Opening): Promise<OpenedChat> {
  const { accountId, deviceId, contactId } = options;
  if (contactId !== undefined) {
    const opened = await openWithContact(tx, options, contactId);
    if (opened) return opened;
    throw new ClarinError('not_found', 'there is no such contact');
  }
  const jids = chatJids(readAddresses(options));
  return (await findChat(tx, { accountId, deviceId, jids })) ?? beginChat(tx, options);
}

/** The same for whoever has looked by address already, and found none. */
export async function beginChat(tx: Queries, options: Opening): Promise<OpenedChat> {
  const { accountId, deviceId } = options;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const { id, created } = await resolveContact(tx, { ...options, source: 'whatsapp' });
    // Nobody else knows of a new contact yet, so there is nothing to look up or to hold.
    const jids = chatJids(readAddresses(options));
    const opened = created
      ? await insertChat(tx, options, {
          place: { accountId, deviceId, jids },
          contactId: id,
          isNew: true,
        })
      : await openWithContact(tx, options, id);
    if (opened) return opened;
  }
  throw new ClarinError('conflict', 'the contact was changed by somebody else at the same time');
}

/** Undefined: the contact is not there. */
async function openWithContact(
  tx: Queries,
  options: Opening,
  contactId: number,
): Promise<OpenedChat | undefined> {
  const { accountId, deviceId } = options;
  const own = await lockContact(tx, accountId, contactId);
  if (!own) return undefined;
  const given = readAddresses(options);
  const isAnyLine = options.contactId !== undefined;
  const jids = isAnyLine || isSameLine(given, own) ? chatJids(given, own) : chatJids(given);
  const place = { accountId, deviceId, jids, anyOf: isAnyLine ? contactId : undefined };
  return (await findChat(tx, place)) ?? insertChat(tx, options, { place, contactId, isNew: false });
}

async function insertChat(
  tx: Queries,
  { accountId, deviceId, name }: Opening,
  { place, contactId, isNew }: { place: Place; contactId: number; isNew: boolean },
): Promise<OpenedChat | undefined> {
  const [jid] = place.jids;
  if (jid === undefined) {
    throw new ClarinError('unprocessable', 'the contact has no address to write to', {
      details: { column: 'contact_id' },
    });
  }
  const [row] = await explainReferences(
    tx.query(sql`
      insert into public.chats (account_id, device_id, contact_id, jid, name)
      values (${accountId}, ${deviceId}, ${contactId}, ${jid}, ${storableText(name, NAME_MAX) ?? null})
      on conflict (account_id, device_id, jid) do nothing
      returning id`),
  );
  // Whoever holds no lock may have been faster.
  if (!row) return findChat(tx, place);
  return { id: Number(row['id']), created: true, contactId, isNewContact: isNew };
}

/**
 * What the contact is known by, held until the transaction ends: two who begin a chat with one person by two spellings
 * of a number make one chat, and nobody merges the contact away meanwhile.
 */
async function lockContact(
  tx: Queries,
  accountId: number,
  id: number,
): Promise<GivenAddresses | undefined> {
  const [row] = await tx.query(sql`
    select jid, lid, phone
    from public.contacts
    where account_id = ${accountId} and id = ${id}
    for no key update`);
  if (!row) return undefined;
  return {
    jid: row['jid'] ?? undefined,
    lid: row['lid'] ?? undefined,
    phone: row['phone'] ?? undefined,
  };
}

async function findChat(
  tx: Queries,
  { accountId, deviceId, jids, anyOf }: Place,
): Promise<OpenedChat | undefined> {
  const [row] = await tx.query(sql`
    select id, contact_id
    from public.chats
    where account_id = ${accountId} and device_id = ${deviceId}
      and (jid = any(${jids}::text[]) or contact_id = ${anyOf ?? null})
    order by array_position(${jids}::text[], jid) nulls last, active_at desc, id
    limit 1`);
  if (!row) return undefined;
  return {
    id: Number(row['id']),
    created: false,
    contactId: Number(row['contact_id']),
    isNewContact: false,
  };
}
