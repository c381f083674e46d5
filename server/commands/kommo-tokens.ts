import type { SecretBox } from '../../platform/secret-box.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

export type KommoTokens = {
  readonly accessToken: string;
  /** A long-lived token has none. */
  readonly refreshToken: string | undefined;
};

type Connection = { readonly accountId: number; readonly connectionId: number };

/** Keeps the tokens of a connection, sealed, in the place of those it had. */
export async function keepKommoTokens(
  tx: Queries,
  box: SecretBox,
  { accountId, connectionId }: Connection,
  { accessToken, refreshToken }: KommoTokens,
): Promise<void> {
  const access = box.seal(accessToken, placeOf(connectionId, 'access_token'));
  const refresh =
    refreshToken === undefined
      ? null
      : box.seal(refreshToken, placeOf(connectionId, 'refresh_token'));
  await tx.query(sql`
    insert into private.kommo_tokens (connection_id, account_id, access_token, refresh_token)
    values (${connectionId}, ${accountId}, ${access}, ${refresh})
    on conflict (connection_id) do update
      set access_token = excluded.access_token, refresh_token = excluded.refresh_token, updated_at = now()`);
}

/**
 * The tokens in the clear, for who talks to Kommo and for nobody else. Undefined: the connection has none.
 * @throws ClarinError `configuration` when they were sealed with another key.
 */
export async function readKommoTokens(
  db: Queries,
  box: SecretBox,
  { accountId, connectionId }: Connection,
): Promise<KommoTokens | undefined> {
  const [row] = await db.query(sql`
    select encode(access_token, 'hex') as access_token, encode(refresh_token, 'hex') as refresh_token
    from private.kommo_tokens
    where account_id = ${accountId} and connection_id = ${connectionId}`);
  if (!row) return undefined;
  const open = (name: 'access_token' | 'refresh_token'): string | undefined => {
    const sealed = row[name];
    return sealed ? box.open(Buffer.from(sealed, 'hex'), placeOf(connectionId, name)) : undefined;
  };
  return { accessToken: open('access_token') ?? '', refreshToken: open('refresh_token') };
}

function placeOf(connectionId: number, column: string): string {
  return `kommo_tokens/${connectionId}/${column}`;
}
