import type { SecretBox } from '../../platform/secret-box.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';

export type KommoTokens = {
  readonly accessToken: string;
  /** A long-lived token has none. */
  readonly refreshToken: string | undefined;
};

/** Tokens as they are kept. */
export type KommoGrant = KommoTokens & {
  /** When they were written, as Postgres prints it: names this state of them. */
  readonly keptAt: string;
  readonly keptAtMs: number;
  /** As the connection says; undefined: it does not. */
  readonly expiresAtMs: number | undefined;
};

type Connection = { readonly accountId: number; readonly connectionId: number };

/** Keeps the tokens of a connection, sealed, in the place of those it had. */
export async function keepKommoTokens(
  tx: Queries,
  box: SecretBox,
  { accountId, connectionId }: Connection,
  tokens: KommoTokens,
): Promise<void> {
  const { access, refresh } = seal(box, connectionId, tokens);
  await tx.query(sql`
    insert into private.kommo_tokens (connection_id, account_id, access_token, refresh_token)
    values (${connectionId}, ${accountId}, ${access}, ${refresh})
    on conflict (connection_id) do update
      set access_token = excluded.access_token, refresh_token = excluded.refresh_token, updated_at = now()`);
}

/**
 * Keeps tokens in the place of those written at `keptAt`, and of no others: somebody may have connected it anew since.
 * Gives when they were written; undefined: those are no longer there.
 */
export async function replaceKommoTokens(
  tx: Queries,
  box: SecretBox,
  { accountId, connectionId, keptAt }: Connection & { readonly keptAt: string },
  tokens: KommoTokens,
): Promise<string | undefined> {
  const { access, refresh } = seal(box, connectionId, tokens);
  const [row] = await tx.query(sql`
    update private.kommo_tokens
    set access_token = ${access}, refresh_token = ${refresh}, updated_at = clock_timestamp()
    where account_id = ${accountId} and connection_id = ${connectionId} and updated_at = ${keptAt}::timestamptz
    returning updated_at`);
  return row?.['updated_at'] ?? undefined;
}

/** When the tokens written at `keptAt` end, for people to see. Written only where it differs. */
export async function setTokenExpiry(
  tx: Queries,
  { accountId, connectionId, keptAt }: Connection & { readonly keptAt: string },
  expiresAtMs: number,
): Promise<void> {
  const expiresAt = new Date(expiresAtMs).toISOString();
  await tx.query(sql`
    update public.kommo_connections as connection
    set token_expires_at = ${expiresAt}::timestamptz
    from private.kommo_tokens as token
    where connection.account_id = ${accountId} and connection.id = ${connectionId}
      and token.account_id = connection.account_id and token.connection_id = connection.id
      and token.updated_at = ${keptAt}::timestamptz
      and connection.token_expires_at is distinct from ${expiresAt}::timestamptz`);
}

/**
 * The tokens in the clear, for who talks to Kommo and for nobody else. Undefined: the connection has none.
 * @throws ClarinError `configuration` when they were sealed with another key.
 */
export async function readKommoTokens(
  db: Queries,
  box: SecretBox,
  connection: Connection,
): Promise<KommoTokens | undefined> {
  const grant = await readKommoGrant(db, box, connection);
  return grant && { accessToken: grant.accessToken, refreshToken: grant.refreshToken };
}

/** The same, with what is known of them. */
export async function readKommoGrant(
  db: Queries,
  box: SecretBox,
  connection: Connection,
): Promise<KommoGrant | undefined> {
  const [row] = await db.query(selectGrant(connection));
  return row && openGrant(box, connection, row);
}

/**
 * The same, until the end of the transaction for nobody else to renew: `busy` when somebody does so at this moment.
 * It is not waited for: that would hold a database connection for as long as Kommo takes.
 */
export async function lockKommoGrant(
  tx: Queries,
  box: SecretBox,
  connection: Connection,
): Promise<KommoGrant | 'busy' | undefined> {
  const [row] = await tx.query(sql`${selectGrant(connection)} for update of token skip locked`);
  if (row) return openGrant(box, connection, row);
  return (await readKommoGrant(tx, box, connection)) && 'busy';
}

function selectGrant({ accountId, connectionId }: Connection): Sql {
  return sql`
    select encode(token.access_token, 'hex') as access_token, encode(token.refresh_token, 'hex') as refresh_token,
      token.updated_at, extract(epoch from token.updated_at) * 1000 as updated_at_ms,
      extract(epoch from connection.token_expires_at) * 1000 as expires_at_ms
    from private.kommo_tokens as token
    join public.kommo_connections as connection
      on connection.account_id = token.account_id and connection.id = token.connection_id
    where token.account_id = ${accountId} and token.connection_id = ${connectionId}`;
}

function openGrant(
  box: SecretBox,
  { connectionId }: Connection,
  row: Readonly<Record<string, string | null>>,
): KommoGrant {
  const open = (name: 'access_token' | 'refresh_token'): string | undefined => {
    const sealed = row[name];
    return sealed ? box.open(Buffer.from(sealed, 'hex'), placeOf(connectionId, name)) : undefined;
  };
  return {
    accessToken: open('access_token') ?? '',
    refreshToken: open('refresh_token'),
    keptAt: row['updated_at'] ?? '',
    keptAtMs: Number(row['updated_at_ms']),
    expiresAtMs: row['expires_at_ms'] ? Number(row['expires_at_ms']) : undefined,
  };
}

function seal(
  box: SecretBox,
  connectionId: number,
  { accessToken, refreshToken }: KommoTokens,
): { access: Buffer; refresh: Buffer | null } {
  return {
    access: box.seal(accessToken, placeOf(connectionId, 'access_token')),
    refresh:
      refreshToken === undefined
        ? null
        : box.seal(refreshToken, placeOf(connectionId, 'refresh_token')),
  };
}

function placeOf(connectionId: number, column: string): string {
  return `kommo_tokens/${connectionId}/${column}`;
}
