import { MESSAGE_SIGNAL } from '../../domain/change.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

type Owner = { readonly accountId: number; readonly deviceId: number };

/** What somebody is doing: of chats that are there only, nobody is made by typing. */
export type Presence = {
  /** Whom the chat is with, by either address. */
  readonly jid: string;
  readonly kind: 'typing' | 'presence';
  /** `composing`, `recording`, `paused`, `available`, `unavailable`. */
  readonly state: string;
};

/** Tells the account's browsers, once, whoever is looking; nothing is written down. One statement. */
export async function signalPresences(
  tx: Queries,
  { accountId, deviceId, presences }: Owner & { readonly presences: readonly Presence[] },
): Promise<void> {
  if (presences.length === 0) return;
  await tx.query(sql`
    select pg_logical_emit_message(true, ${MESSAGE_SIGNAL}, jsonb_build_object(
      'account_id', ${accountId}::bigint, 'kind', shown.kind, 'state', shown.state, 'chat_id', shown.chat_id,
      'contact_id', shown.contact_id, 'device_id', ${deviceId}::bigint, 'permission', 'chats'
    )::text)
    from (
      select distinct given.kind, given.state, chat.id as chat_id, chat.contact_id
      from unnest(
        ${presences.map(({ jid }) => jid)}::text[], ${presences.map(({ kind }) => kind)}::text[],
        ${presences.map(({ state }) => state)}::text[]
      ) as given (jid, kind, state)
      left join public.contact_identities as identity
        on identity.account_id = ${accountId} and identity.kind in ('jid', 'lid') and identity.value = given.jid
      join public.chats as chat
        on chat.account_id = ${accountId} and chat.device_id = ${deviceId}
        and (chat.jid = given.jid or chat.contact_id = identity.contact_id)
    ) as shown`);
}

/** How far the history of a device is read, in per cent. */
export async function signalHistory(
  tx: Queries,
  { accountId, deviceId, progress }: Owner & { readonly progress: number },
): Promise<void> {
  await tx.query(sql`
    select pg_logical_emit_message(true, ${MESSAGE_SIGNAL}, jsonb_build_object(
      'account_id', ${accountId}::bigint, 'kind', 'history', 'device_id', ${deviceId}::bigint,
      'progress', ${progress}::integer, 'permission', 'devices'
    )::text)`);
}
