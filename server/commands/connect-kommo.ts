import { kommo_connections } from '../../domain/entities/kommo_connections.ts';
import { ClarinError } from '../../domain/errors.ts';
import { readEntity } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import type { SecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';
import { keepKommoTokens, type KommoTokens } from './kommo-tokens.ts';
import { notifyKommo } from '../../platform/kommo-notes.ts';

type Options = {
  box: SecretBox;
  accountId: number;
  /** In lower case. */
  subdomain: string;
  tokens: KommoTokens;
  /** When the access token ends, RFC 3339. */
  expiresAt?: string | null | undefined;
};

/**
 * An account is connected to its Kommo. One that it was connected to before goes on where it stood, with these tokens; when
 * it was disconnected in the middle of reading everything, that begins again.
 * Gives the connection, JSON text, and whether it is new.
 */
export async function connectKommo(
  tx: Queries,
  { box, accountId, subdomain, tokens, expiresAt }: Options,
): Promise<{ json: string; isNew: boolean }> {
  const [row] = await tx.query(sql`
    insert into public.kommo_connections as connection (account_id, subdomain, token_expires_at)
    values (${accountId}, ${subdomain}, ${expiresAt ?? null}::timestamptz)
    on conflict (account_id, subdomain) do update
      set status = 'connected', status_reason = null, status_until = null,
        token_expires_at = excluded.token_expires_at,
        -- What disconnecting has broken off.
        full_sync_state = case
          when connection.status = 'disconnected' and connection.full_sync_state = 'cancelled' then 'pending'
          else connection.full_sync_state
        end
    returning id, created_at = now() as is_new`);
  const id = Number(row?.['id']);
  await keepKommoTokens(tx, box, { accountId, connectionId: id }, tokens);
  await notifyKommo(tx, { kind: 'changed', connectionId: id });
  const json = await readEntity(tx, kommo_connections, { accountId, id });
  if (json === undefined) throw new ClarinError('internal', 'a connection is not in its account');
  return { json, isNew: row?.['is_new'] === 't' };
}

type Place = { accountId: number; id: number };

/**
 * Nothing is read from Kommo any more: its tokens are deleted, and a full sync under way is cancelled. What was read
 * stays, and so does where it stood. Gives the connection, JSON text; undefined: there is none.
 */
export async function disconnectKommo(
  tx: Queries,
  { accountId, id }: Place,
): Promise<string | undefined> {
  await tx.query(sql`
    delete from private.kommo_tokens where account_id = ${accountId} and connection_id = ${id}`);
  await tx.query(sql`
    update public.kommo_connections
    set status = 'disconnected', status_reason = 'Disconnected; its tokens are deleted. Connect it again to go on.',
      status_until = null, token_expires_at = null,
      full_sync_state = case when full_sync_state in ('pending', 'running') then 'cancelled' else full_sync_state end
    where account_id = ${accountId} and id = ${id} and status <> 'disconnected'`);
  await notifyKommo(tx, { kind: 'changed', connectionId: id });
  return readEntity(tx, kommo_connections, { accountId, id });
}
