import { parseJid } from '../../domain/jid.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { chatJids, identitiesOf, readAddresses, type Addresses } from './addresses.ts';
import { beginChat } from './open-chat.ts';
import type { ReceivedContent } from './received-content.ts';
import { keepPushName, resolveContact } from './resolve-contact.ts';

/** A message, as far as it decides where it goes; see receive-message.ts. */
type Options = {
  readonly accountId: number;
  readonly deviceId: number;
  readonly jid: string;
  readonly lid?: string | undefined;
  readonly messageId: string;
  readonly isFromMe: boolean;
  readonly fromName?: string | undefined;
  readonly chatName?: string | undefined;
  readonly content: ReceivedContent;
};

/** The chat that a message is in. */
export type Place = {
  readonly chatId: number;
  readonly contactId: number;
  readonly jid: string;
  readonly isNewContact: boolean;
  /** Nobody has written to us in it. */
  readonly isSilent: boolean;
};

/** The chat with whoever the message is with, made when there is none, and its contact with all that is known of them. */
export async function placeOf(tx: Queries, options: Options): Promise<Place> {
  const { accountId, deviceId, isFromMe } = options;
  const addresses = readAddresses(options);
  const pushName = isFromMe || addresses.isGroup ? undefined : options.fromName;
  const known = await findPlace(tx, options, addresses);
  if (!known) {
    const name = options.chatName;
    const given = { jid: options.jid, lid: options.lid };
    const opened = await beginChat(tx, { accountId, deviceId, ...given, name, pushName });
    return {
      chatId: opened.id,
      contactId: opened.contactId,
      jid: chatJids(addresses)[0] ?? options.jid,
      isNewContact: opened.isNewContact,
      isSilent: true,
    };
  }
  if (known.isSettled) {
    await keepPushName(
      tx,
      { accountId, pushName },
      { id: known.contactId, pushName: known.pushName },
    );
    return { ...known, jid: await adoptJid(tx, { accountId, addresses, known }) };
  }
  const { jid, lid } = options;
  await resolveContact(tx, { accountId, jid, lid, pushName, source: 'whatsapp' });
  // Two contacts may have become one.
  const settled = (await findPlace(tx, options, addresses)) ?? known;
  return { ...settled, jid: await adoptJid(tx, { accountId, addresses, known: settled }) };
}

type Known = Place & {
  /** Every address resolves to somebody, and all of them to the same. */
  readonly isSettled: boolean;
  readonly pushName: string | null;
};

/** Somebody may have two chats, by two addresses: the one the message is in, or what it is about, before the address's own. */
async function findPlace(
  tx: Queries,
  { accountId, deviceId, messageId, content }: Options,
  addresses: Addresses,
): Promise<Known | undefined> {
  const stanzas = 'target' in content ? [messageId, content.target] : [messageId];
  const jids = chatJids(addresses);
  const identities = identitiesOf(addresses);
  const [row] = await tx.query(sql`
    select chat.id, chat.contact_id, chat.jid, chat.last_inbound_at is null as is_silent, contact.push_name,
      resolved.addresses = ${identities.length} and resolved.contacts = 1 as is_settled
    from public.chats as chat
    join public.contacts as contact on contact.account_id = chat.account_id and contact.id = chat.contact_id
    cross join (
      select count(*) as addresses, count(distinct identity.contact_id) as contacts
      from unnest(
        ${identities.map(({ kind }) => kind)}::text[], ${identities.map(({ value }) => value)}::text[]
      ) as given (kind, value)
      join public.contact_identities as identity
        on identity.account_id = ${accountId} and identity.kind = given.kind and identity.value = given.value
    ) as resolved
    where chat.account_id = ${accountId} and chat.device_id = ${deviceId} and chat.jid = any(${jids}::text[])
    order by not exists (
      select from public.messages as message
      where message.account_id = ${accountId} and message.chat_id = chat.id
        and message.message_id = any(${stanzas}::text[])
    ), array_position(${jids}::text[], chat.jid)
    limit 1`);
  if (!row) return undefined;
  return {
    chatId: Number(row['id']),
    contactId: Number(row['contact_id']),
    jid: row['jid'] ?? '',
    isNewContact: false,
    isSilent: row['is_silent'] === 't',
    isSettled: row['is_settled'] === 't',
    pushName: row['push_name'] ?? null,
  };
}

/** A JID that was made of a number when the chat was opened gives way to the one WhatsApp has: answers reach that one. */
async function adoptJid(
  tx: Queries,
  { accountId, addresses, known }: { accountId: number; addresses: Addresses; known: Known },
): Promise<string> {
  const { jid } = addresses;
  if (jid === undefined || jid === known.jid || parseJid(known.jid)?.kind !== 'user')
    return known.jid;
  const adopted = await tx.query(sql`
    update public.chats as chat
    set jid = ${jid}
    where account_id = ${accountId} and id = ${known.chatId} and not exists (
      select from public.chats
      where account_id = ${accountId} and device_id = chat.device_id and jid = ${jid}
    )
    returning id`);
  return adopted.length > 0 ? jid : known.jid;
}
