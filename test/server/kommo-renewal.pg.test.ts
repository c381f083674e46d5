import { beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_INTEGRATION } from '../../fakes/kommo/oauth.ts';
import type { World } from '../../fakes/kommo/world.ts';
import { sql } from '../../platform/sql.ts';
import { connectKommo, disconnectKommo } from '../../server/commands/connect-kommo.ts';
import { readKommoTokens, type KommoTokens } from '../../server/commands/kommo-tokens.ts';
import { readClaims } from '../../server/kommo/jwt.ts';
import { exchangeCode, requestTokens } from '../../server/kommo/oauth.ts';
import { eventually } from '../support/services.ts';
import {
  failure,
  openKommoTestWorld,
  type Connection,
  type KommoTestWorld,
  type Talker,
} from './kommo-means.ts';

const DAY_MS = 24 * 3_600_000;
const TOKENS = 'oauth2/access_token';
let world: KommoTestWorld;
let names = 0;
/** By our clock it is so much later than by Kommo's. */
let laterMs = 0;

beforeAll(async () => {
  world = await openKommoTestWorld({ limiter: { perSecond: 100_000 } });
});

type Renewable = { kommo: World; connection: Connection; tokens: KommoTokens };

/** An account connected through the integration. */
async function renewable(): Promise<Renewable> {
  laterMs = 0;
  const subdomain = `renewable-${++names}`;
  const tokens = world.fake.createAccount({ subdomain });
  const connection = await world.connect(subdomain, tokens);
  return { kommo: world.fake.world(subdomain), connection, tokens };
}

const talker = (means = {}): Talker =>
  world.talker({
    config: { requestsPerSecond: 500 },
    means: { now: () => Date.now() + laterMs, ...means },
  });

const asked = (endpoint: string, { subdomain }: Connection) =>
  world.fake.requests.list({ endpoint, subdomain }).length;

const kept = ({ id, accountId }: Connection, by: Talker) =>
  readKommoTokens(world.owner, by.means.box, { accountId, connectionId: id });

test('tokens are renewed when four fifths of their life are over, and not before', async () => {
  const { connection, tokens } = await renewable();
  const by = talker();
  const client = by.client(connection);
  laterMs = 0.79 * DAY_MS;
  await client.leads({}, 'poll');
  expect(await kept(connection, by)).toMatchObject({ accessToken: tokens.accessToken });
  laterMs = 0.81 * DAY_MS;
  await client.leads({}, 'poll');
  expect(asked(TOKENS, connection)).toBe(1);
  const now = await kept(connection, by);
  expect(now?.accessToken).not.toBe(tokens.accessToken);
  expect(now?.refreshToken).not.toBe(tokens.refreshToken);
  const [row] = await world.owner.query(sql`
    select extract(epoch from token_expires_at) * 1000 as ends_at_ms
    from public.kommo_connections where id = ${connection.id}`);
  const endsAtMs = Number(row?.['ends_at_ms']);
  expect(Math.abs(endsAtMs - (Date.now() + laterMs + DAY_MS))).toBeLessThan(60_000);
});

test('a token that Kommo refuses is renewed once, by whichever of all processes is first', async () => {
  const { kommo, connection, tokens } = await renewable();
  kommo.tokens.revoke(tokens.accessToken);
  // Long enough that all of them meet.
  const slow = { endpoint: TOKENS, does: { kind: 'latency', ms: 300 }, times: 1 } as const;
  world.fake.faults.add({ subdomain: connection.subdomain, ...slow });
  const talkers = [talker(), talker(), talker()];
  const clients = talkers.flatMap((by) => [by.client(connection), by.client(connection)]);
  const calls = clients.flatMap((client) => [
    client.leads({}, 'poll'),
    client.contacts({}, 'poll'),
  ]);
  const pages = await Promise.all(calls);
  expect(pages.map(({ rows }) => rows)).toEqual(pages.map(() => []));
  expect(asked(TOKENS, connection)).toBe(1);
});

test('new tokens are in the database before anybody uses them', async () => {
  const { kommo, connection, tokens } = await renewable();
  kommo.tokens.revoke(tokens.accessToken);
  const by = talker();
  // The request with the new token stays without an answer; what is kept by then is what is kept.
  const fault = { endpoint: 'leads', does: { kind: 'latency', ms: 60_000 }, skip: 1 } as const;
  world.fake.faults.add({ subdomain: connection.subdomain, ...fault });
  const stopping = new AbortController();
  const call = failure(by.client(connection, stopping.signal).leads({}, 'poll'));
  await eventually(() => asked('leads', connection) === 2);
  const now = await kept(connection, by);
  expect(kommo.tokens.accepts(now?.accessToken ?? '')).toBe(true);
  expect(kommo.tokens.isRefreshToken(now?.refreshToken ?? '')).toBe(true);
  stopping.abort(new Error('enough'));
  expect((await call).message).toBe('enough');
});

test('tokens whose commit failed are kept all the same, for Kommo gives them once', async () => {
  const { kommo, connection, tokens } = await renewable();
  kommo.tokens.revoke(tokens.accessToken);
  const by = talker();
  const slow = { endpoint: TOKENS, does: { kind: 'latency', ms: 500 } } as const;
  world.fake.faults.add({ subdomain: connection.subdomain, ...slow });
  const call = by.client(connection).leads({}, 'poll');
  await eventually(() => asked(TOKENS, connection) === 1);
  const ended = await world.owner.query(sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where state = 'idle in transaction' and datname = current_database()`);
  expect(ended).toHaveLength(1);
  expect((await call).rows).toEqual([]);
  expect(asked(TOKENS, connection)).toBe(1);
  const now = await kept(connection, by);
  expect(kommo.tokens.isRefreshToken(now?.refreshToken ?? '')).toBe(true);
});

test('tokens are renewed though Kommo takes longer than a transaction may do nothing', async () => {
  const { kommo, connection, tokens } = await renewable();
  const failures = () => world.lines.filter((line) => line.includes('were not kept')).length;
  const before = failures();
  kommo.tokens.revoke(tokens.accessToken);
  const slow = { endpoint: TOKENS, does: { kind: 'latency', ms: 2_500 } } as const;
  world.fake.faults.add({ subdomain: connection.subdomain, ...slow });
  const by = world.talker({ config: { requestsPerSecond: 500 }, statementTimeoutMs: 1_000 });
  expect((await by.client(connection).leads({}, 'poll')).rows).toEqual([]);
  // It was kept at once, and not only after the transaction was lost.
  expect(failures()).toBe(before);
});

describe('a connection has to be made again', () => {
  test('after a process ended between the answer and the commit', async () => {
    const { kommo, connection, tokens } = await renewable();
    const by = talker();
    const { subdomain } = connection;
    const grant = {
      grant_type: 'refresh_token',
      refresh_token: tokens.refreshToken ?? '',
    } as const;
    const request = { subdomain, integration: DEFAULT_INTEGRATION, grant };
    // Given, and gone with the process.
    expect(await requestTokens(by.means, request)).toMatchObject({ kind: 'given' });
    kommo.tokens.revoke(tokens.accessToken);
    const error = await failure(by.client(connection).leads({}, 'poll'));
    expect(error).toMatchObject({ kind: 'needs_reauth', status: 401 });
    expect(error.message).toMatch(/answer was lost on the way.*Connect it again/);
    expect(asked(TOKENS, connection)).toBe(2);
  });

  test('after the answer was lost, and the sentence says so', async () => {
    const { kommo, connection, tokens } = await renewable();
    kommo.tokens.revoke(tokens.accessToken);
    const lost = { endpoint: TOKENS, does: { kind: 'reset', isHandled: true }, times: 1 } as const;
    world.fake.faults.add({ subdomain: connection.subdomain, ...lost });
    const error = await failure(talker().client(connection).leads({}, 'poll'));
    expect(error).toMatchObject({ kind: 'needs_reauth' });
    expect(error.message).toMatch(/^Kommo renewed the access, but its answer was lost on the way/);
    expect(asked(TOKENS, connection)).toBe(2);
  });

  test('when Kommo refuses what it has just given', async () => {
    const { connection } = await renewable();
    const never = { endpoint: 'leads', does: { kind: 'status', status: 401 } } as const;
    world.fake.faults.add({ subdomain: connection.subdomain, ...never });
    const error = await failure(talker().client(connection).leads({}, 'poll'));
    expect(error).toMatchObject({ kind: 'needs_reauth', status: 401 });
    expect([asked('leads', connection), asked(TOKENS, connection)]).toEqual([2, 1]);
  });

  test('when a long-lived token is refused, without asking for another', async () => {
    const { kommo, connection } = await world.fresh(talker());
    const by = talker();
    await by.client(connection).leads({}, 'poll');
    kommo.tokens.revokeAll();
    const error = await failure(by.client(connection).leads({}, 'poll'));
    expect(error).toMatchObject({ kind: 'needs_reauth', status: 401 });
    expect(error.message).toContain('taken back or replaced. Make a new one');
    laterMs = 366 * DAY_MS;
    const late = await failure(by.client(connection).leads({}, 'poll'));
    laterMs = 0;
    expect(late.message).toMatch(/It ended on \d{4}-\d\d-\d\d\./);
    expect(asked(TOKENS, connection)).toBe(0);
  });

  test('when it has no tokens, and when nobody can renew them', async () => {
    const { kommo, connection, tokens } = await renewable();
    const alone = world.talker({ config: { integration: undefined } });
    const client = alone.client(connection);
    await client.leads({}, 'poll');
    kommo.tokens.revoke(tokens.accessToken);
    const error = await failure(client.leads({}, 'poll'));
    expect(error).toMatchObject({ kind: 'needs_reauth' });
    expect(error.message).toContain('KOMMO_CLIENT_ID');
    const { id, accountId } = connection;
    await world.owner.transaction((tx) => disconnectKommo(tx, { accountId, id }));
    for (const each of [client, talker().client(connection)])
      expect(await failure(each.leads({}, 'poll'))).toMatchObject({ kind: 'needs_reauth' });
    expect(asked(TOKENS, connection)).toBe(0);
  });
});

describe('a renewal that comes to nothing', () => {
  test('is tried once more, and that is all it was when Kommo had not done it', async () => {
    const { kommo, connection, tokens } = await renewable();
    kommo.tokens.revoke(tokens.accessToken);
    const broken = { endpoint: TOKENS, does: { kind: 'reset' }, times: 1 } as const;
    world.fake.faults.add({ subdomain: connection.subdomain, ...broken });
    const by = talker();
    expect((await by.client(connection).leads({}, 'poll')).rows).toEqual([]);
    expect(asked(TOKENS, connection)).toBe(2);
  });

  test('keeps nobody from using the tokens while they are good, and is tried again a minute later', async () => {
    const { connection, tokens } = await renewable();
    const away = { endpoint: TOKENS, does: { kind: 'status', status: 503 }, times: 2 } as const;
    world.fake.faults.add({ subdomain: connection.subdomain, ...away });
    const by = talker();
    const client = by.client(connection);
    laterMs = 0.85 * DAY_MS;
    await client.leads({}, 'poll');
    await client.leads({}, 'poll');
    expect(asked(TOKENS, connection)).toBe(2);
    expect(await kept(connection, by)).toMatchObject({ accessToken: tokens.accessToken });
    laterMs += 61_000;
    await client.leads({}, 'poll');
    expect(asked(TOKENS, connection)).toBe(3);
    expect(await kept(connection, by)).not.toMatchObject({ accessToken: tokens.accessToken });
  });

  test('does not take the place of tokens that a person has brought meanwhile', async () => {
    const { kommo, connection, tokens } = await renewable();
    const { accountId, id, subdomain } = connection;
    const by = talker();
    kommo.tokens.revoke(tokens.accessToken);
    const slow = { endpoint: TOKENS, does: { kind: 'latency', ms: 500 } } as const;
    world.fake.faults.add({ subdomain, ...slow });
    const call = by.client(connection).leads({}, 'poll');
    await eventually(() => asked(TOKENS, connection) === 1);
    // The transaction that holds the row is gone: the new tokens can be written before it hears of that.
    await world.owner.query(sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where state = 'idle in transaction' and datname = current_database()`);
    const brought = kommo.tokens.issueLongLived();
    await world.owner.transaction((tx) =>
      connectKommo(tx, {
        box: by.means.box,
        accountId,
        subdomain,
        tokens: { accessToken: brought, refreshToken: undefined },
      }),
    );
    expect((await call).rows).toEqual([]);
    expect(await kept({ id, accountId, subdomain }, by)).toEqual({
      accessToken: brought,
      refreshToken: undefined,
    });
  });
});

test('an account that was renamed is renewed under its new name', async () => {
  const { kommo, connection, tokens } = await renewable();
  const by = talker();
  const client = by.client(connection);
  await client.leads({}, 'poll');
  kommo.rename(`${connection.subdomain}-now`);
  laterMs = 0.9 * DAY_MS;
  await client.leads({}, 'poll');
  expect(client.subdomain()).toBe(`${connection.subdomain}-now`);
  expect(await kept(connection, by)).not.toMatchObject({ accessToken: tokens.accessToken });
  kommo.rename(`${connection.subdomain}-later`);
  kommo.tokens.revoke((await kept(connection, by))?.accessToken ?? '');
  await client.contacts({}, 'poll');
  expect(client.subdomain()).toBe(`${connection.subdomain}-later`);
});

describe('a code', () => {
  const NEVER = new AbortController().signal;

  test('is exchanged for tokens, once', async () => {
    const { kommo, connection } = await renewable();
    const by = talker();
    const code = kommo.tokens.issueCode();
    const exchange = { subdomain: connection.subdomain, code, signal: NEVER };
    const { tokens, expiresAtMs } = await exchangeCode(by.means, exchange);
    expect(kommo.tokens.accepts(tokens.accessToken)).toBe(true);
    expect(kommo.tokens.isRefreshToken(tokens.refreshToken)).toBe(true);
    const claims = readClaims(tokens.accessToken);
    expect(Math.abs((claims.expiresAtMs ?? 0) - expiresAtMs)).toBeLessThan(60_000);
    const again = await failure(exchangeCode(by.means, exchange));
    expect(again).toMatchObject({ kind: 'needs_reauth', status: 400 });
  });

  test('is worth nothing without an integration, or at another address', async () => {
    const { kommo, connection } = await renewable();
    const code = kommo.tokens.issueCode();
    const { means } = world.talker({ config: { integration: undefined } });
    const exchange = { subdomain: connection.subdomain, code, signal: NEVER };
    expect((await failure(exchangeCode(means, exchange))).message).toContain('KOMMO_CLIENT_ID');
    const elsewhere = { ...exchange, subdomain: 'nobody' };
    expect(await failure(exchangeCode(talker().means, elsewhere))).toMatchObject({
      kind: 'not_found',
    });
    const attack = { ...exchange, subdomain: 'a.example/' };
    await expect(exchangeCode(talker().means, attack)).rejects.toThrow(RangeError);
    expect(asked(TOKENS, connection)).toBe(0);
  });
});
