import { USER_SERVER } from '../../domain/jid.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { explainReferences } from './refusals.ts';
import { resolveContact } from './resolve-contact.ts';

type Options = {
  readonly accountId: number;
  readonly deviceId: number;
  /** One of the three says whom with; a contact that is known is used as it is. */
  readonly contactId?: number | undefined;
  readonly jid?: string | undefined;
  /** E.164 digits. */
  readonly phone?: string | undefined;
  /** Of the chat: a group's subject. */
  readonly name?: string | undefined;
};

type Partner = { readonly id: number; readonly jid: string };

/**
 * The chat with somebody through a device: the one there is, whichever address it was opened with, or a new one.
 * Opening it again writes nothing.
 * @throws ClarinError not_found for a contact that is not there, unprocessable for a contact without an address or a
 * device that is not there.
 */
export async function openChat(
  tx: Queries,
  options: Options,
): Promise<{ id: number; created: boolean }> {
  const { accountId, deviceId, name } = options;
  const partner = await partnerOf(tx, options);
  // Two who open it at once: the second waits for the first, inserts nothing and finds it.
  const [made] = await explainReferences(
    tx.query(sql`
      insert into public.chats (account_id, device_id, contact_id, jid, name)
      select ${accountId}, ${deviceId}, ${partner.id}, ${partner.jid}, ${name ?? null}
      where not exists (
        select from public.chats
        where account_id = ${accountId} and device_id = ${deviceId}
          and (jid = ${partner.jid} or contact_id = ${partner.id})
      )
      on conflict (account_id, device_id, jid) do nothing
      returning id`),
  );
  if (made) return { id: Number(made['id']), created: true };
  const [known] = await tx.query(sql`
    select id
    from public.chats
    where account_id = ${accountId} and device_id = ${deviceId}
      and (jid = ${partner.jid} or contact_id = ${partner.id})
    order by jid = ${partner.jid} desc, active_at desc, id
    limit 1`);
  if (!known) throw new ClarinError('unprocessable', 'the chat cannot be opened');
  return { id: Number(known['id']), created: false };
}

async function partnerOf(tx: Queries, options: Options): Promise<Partner> {
  const { accountId, contactId, jid, phone } = options;
  if (contactId === undefined) {
    const address = jid ?? addressOf(phone);
    if (address === undefined) throw new ClarinError('internal', 'a chat with nobody');
    const isGroup = address.endsWith('@g.us');
    const isLid = address.endsWith('@lid');
    const { id } = await resolveContact(tx, {
      accountId,
      ...(isLid ? { lid: address } : { jid: address }),
      phone,
      isGroup,
      source: 'whatsapp',
    });
    return { id, jid: address };
  }
  const [contact] = await tx.query(sql`
    select id, jid, lid, phone
    from public.contacts
    where account_id = ${accountId} and id = ${contactId}`);
  if (!contact) throw new ClarinError('not_found', 'there is no such contact');
  const address = jid ?? contact['jid'] ?? addressOf(contact['phone']) ?? contact['lid'];
  if (address === null || address === undefined)
    throw new ClarinError('unprocessable', 'the contact has no phone to write to', {
      details: { field: 'contact_id' },
    });
  return { id: Number(contact['id']), jid: address };
}

function addressOf(phone: string | null | undefined): string | undefined {
  return phone ? `${phone}@${USER_SERVER}` : undefined;
}
