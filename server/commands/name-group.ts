import { parseJid } from '../../domain/jid.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { storableText } from './storable-text.ts';

type Owner = { readonly accountId: number; readonly deviceId: number };

const NAME_MAX = 200;

/** A group's subject: its chat on the device is called so, and the contact that stands for it. */
export async function nameGroup(
  tx: Queries,
  { accountId, deviceId, jid, subject }: Owner & { readonly jid: string; readonly subject: string },
): Promise<void> {
  const name = storableText(subject, NAME_MAX);
  const group = parseJid(jid);
  if (name === undefined || group?.kind !== 'group') return;
  // Contacts before chats, as everybody locks them.
  await tx.query(sql`
    update public.contacts
    set name = ${name}
    where account_id = ${accountId} and jid = ${group.address} and is_group and name is distinct from ${name}`);
  await tx.query(sql`
    update public.chats
    set name = ${name}
    where account_id = ${accountId} and device_id = ${deviceId} and jid = ${group.address}
      and name is distinct from ${name}`);
}

/** Whether the device has a chat of this group that has no name yet. */
export async function isNamelessGroup(
  db: Queries,
  { accountId, deviceId, jid }: Owner & { readonly jid: string },
): Promise<boolean> {
  const rows = await db.query(sql`
    select id
    from public.chats
    where account_id = ${accountId} and device_id = ${deviceId} and jid = ${jid} and name is null`);
  return rows.length > 0;
}
