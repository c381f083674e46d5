import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll } from 'vitest';
import {
  startFakeKommo,
  type FakeKommo,
  type FakeKommoOptions,
} from '../../fakes/kommo/fake-kommo.ts';
import { DEFAULT_INTEGRATION } from '../../fakes/kommo/oauth.ts';
import type { FaultInput } from '../../fakes/kommo/faults.ts';
import type { World } from '../../fakes/kommo/world.ts';
import type { KommoConfig } from '../../platform/config.ts';
import type { Log } from '../../platform/log.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { createSecretBox } from '../../platform/secret-box.ts';
import { connectKommo } from '../../server/commands/connect-kommo.ts';
import type { KommoTokens } from '../../server/commands/kommo-tokens.ts';
import { createKommoClient, type KommoClient } from '../../server/kommo/client.ts';
import type { KommoError } from '../../server/kommo/errors.ts';
import type { HttpLimits } from '../../server/kommo/http.ts';
import { openKommo, type KommoMeans } from '../../server/kommo/means.ts';
import { createAccount } from '../support/account-fixture.ts';
import { createTestDatabase } from '../support/services.ts';

export type Connection = {
  readonly id: number;
  readonly accountId: number;
  readonly subdomain: string;
};

/** A process that talks to Kommo, as a worker or the API is one. */
export type Talker = {
  readonly means: KommoMeans;
  readonly database: Database;
  client(connection: Connection, signal?: AbortSignal): KommoClient;
};

export type KommoTestWorld = {
  readonly fake: FakeKommo;
  /** As superuser. */
  readonly owner: Database;
  /** As role clarin_ingest. */
  readonly ingestUrl: string;
  /** Everything that was logged so far, JSON lines. */
  readonly lines: readonly string[];
  /** An account of ours, connected to the Kommo account of this name. */
  connect(subdomain: string, tokens: KommoTokens): Promise<Connection>;
  talker(options?: TalkerOptions): Talker;
  /** A Kommo account of its own with a long-lived token, and who reads it. */
  fresh(by: Talker): Promise<FreshAccount>;
};

export type FreshAccount = {
  readonly kommo: World;
  readonly connection: Connection;
  readonly client: KommoClient;
  /** Queries of the requests to it so far, oldest first. */
  readonly asked: (endpoint?: string) => URLSearchParams[];
  readonly fault: (fault: FaultInput) => void;
};

/** What a call failed with. */
export async function failure(call: Promise<unknown>): Promise<KommoError> {
  try {
    await call;
  } catch (error) {
    return error as KommoError;
  }
  throw new Error('it did not fail');
}

type TalkerOptions = {
  config?: Partial<KommoConfig>;
  limits?: HttpLimits;
  means?: Partial<KommoMeans>;
  statementTimeoutMs?: number;
};

const ENCRYPTION_KEY = Buffer.alloc(32, 7);

/** A database, a fake Kommo, and processes that talk to it as role clarin_ingest. Ends with the test file. */
export async function openKommoTestWorld(options: FakeKommoOptions = {}): Promise<KommoTestWorld> {
  const db = await createTestDatabase();
  const fake = await startFakeKommo(options);
  const lines: string[] = [];
  const sink = new Writable({
    write: (chunk, _encoding, done) => (lines.push(String(chunk)), done()),
  });
  const log: Log = pino({ level: 'trace', errorKey: 'error' }, sink);
  const opened: { close(): Promise<void> }[] = [];
  const open = (url: string, statementTimeoutMs = 10_000): Database => {
    const database = createDatabase({
      url,
      applicationName: 'kommo test',
      max: 10,
      statementTimeoutMs,
      log,
    });
    opened.unshift(database);
    return database;
  };
  const owner = open(db.ownerUrl);
  const url = new URL(db.url);
  if (url.username === 'clarin_test_api') url.username = 'clarin_test_ingest';
  afterAll(async () => {
    for (const each of opened) await each.close();
    await fake.stop();
    await db.drop();
  });
  let names = 0;
  const connect: KommoTestWorld['connect'] = async (subdomain, tokens) => {
    const { accountId } = await createAccount(owner, `of-${subdomain}`);
    const box = createSecretBox(ENCRYPTION_KEY);
    const { value } = await owner.transaction((tx) =>
      connectKommo(tx, { box, accountId, subdomain, tokens }),
    );
    const { id } = JSON.parse(value.json) as { id: number };
    return { id, accountId, subdomain };
  };
  return {
    fake,
    owner,
    ingestUrl: url.href,
    lines,
    connect,
    fresh: async (by) => {
      const subdomain = `fresh-${++names}`;
      const { longLivedToken } = fake.createAccount({ subdomain });
      const connection = await connect(subdomain, {
        accessToken: longLivedToken,
        refreshToken: undefined,
      });
      return {
        kommo: fake.world(subdomain),
        connection,
        client: by.client(connection),
        asked: (endpoint) =>
          fake.requests
            .list({ subdomain, endpoint })
            .map(({ path }) => new URLSearchParams(path.split('?')[1] ?? '')),
        fault: (fault) => void fake.faults.add({ subdomain, ...fault }),
      };
    },
    talker: ({ config, limits = {}, means: more, statementTimeoutMs } = {}) => {
      const database = open(url.href, statementTimeoutMs);
      const kommo: KommoConfig = {
        url: `${fake.url}/{subdomain}`,
        integration: options.integration ?? DEFAULT_INTEGRATION,
        egress: 'test',
        requestsPerSecond: 7,
        ...config,
      };
      const opening = openKommo({
        config: { kommo, encryptionKey: ENCRYPTION_KEY },
        database,
        log,
        limits,
      });
      opened.unshift(opening);
      // Tries again at once: how long it waits is decided by nextDelay.
      const means: KommoMeans = { ...opening, random: () => 0, ...more };
      return {
        means,
        database,
        client: (connection, signal = new AbortController().signal) =>
          createKommoClient({ ...means, connection, signal }),
      };
    },
  };
}
