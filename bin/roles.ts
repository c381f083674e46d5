import { existsSync } from 'node:fs';
import { ClarinError } from '../domain/errors.ts';
import { readConfig, type Config, type Needs } from '../platform/config.ts';
import { runUntilStopped, type Running } from '../platform/lifecycle.ts';
import { createLog, type Component, type Log } from '../platform/log.ts';

/** What a role does with the words behind its name; resolves to the exit code. */
export type Role = { readonly says: string; run(words: readonly string[]): Promise<number> };

const EVERYTHING: Needs = { redis: true, secret: true, media: true, encryption: true };
const SERVICES_ONLY: Needs = { redis: true, secret: true, media: false, encryption: false };
const DATABASE_AND_FILES: Needs = { redis: false, secret: false, media: true, encryption: true };
const DATABASE_ONLY: Needs = { redis: false, secret: false, media: false, encryption: false };

type Start = (config: Config, log: Log, signal: AbortSignal) => Promise<Running>;

/**
 * Runs until it is told to stop. Modules are loaded when needed: no role pays for another's native
 * code.
 */
function serve(says: string, component: Component, needs: Needs, load: () => Promise<Start>): Role {
  return {
    says,
    run: async () => {
      const config = readConfig(process.env, needs);
      const log = createLog({ component, level: config.logLevel });
      const start = await load();
      return runUntilStopped(log, (signal) => start(config, log, signal));
    },
  };
}

type Command = (config: Config, log: Log, words: readonly string[]) => Promise<number>;

function command(
  says: string,
  component: Component,
  needs: Needs,
  load: () => Promise<Command>,
): Role {
  return {
    says,
    run: async (words) => {
      const config = readConfig(process.env, needs);
      const log = createLog({ component, level: config.logLevel });
      return (await load())(config, log, words);
    },
  };
}

/**
 * What is there for development only. It is not compiled for production: the compiler would follow a name that it can
 * read, so it gets none.
 */
export async function loadFake<T>(name: string): Promise<T> {
  const module = new URL(`../fakes/${name}`, import.meta.url);
  if (existsSync(module)) return (await import(module.href)) as T;
  throw new ClarinError(
    'configuration',
    'The fakes are for development and not part of this build: run it from a checkout, after `npm ci`.',
  );
}

const ROLES: Readonly<Record<string, Role>> = {
  api: serve('REST for the frontend, /docs, /health, /metrics', 'api', EVERYTHING, async () => {
    const { startApi } = await import('../server/api/main.ts');
    return startApi;
  }),
  ingest: serve(
    'work without a caller: CSV imports, campaigns, removing files, purging',
    'ingest',
    DATABASE_AND_FILES,
    async () => {
      const { startIngest } = await import('../server/ingest/main.ts');
      return startIngest;
    },
  ),
  replicator: serve('WAL to cache and feed', 'replicator', SERVICES_ONLY, async () => {
    const { startReplicator } = await import('../replicator/main.ts');
    return startReplicator;
  }),
  gateway: serve('one more feed server, fed from Redis', 'feed', SERVICES_ONLY, async () => {
    const { startGateway } = await import('../replicator/feed/gateway.ts');
    return startGateway;
  }),
  migrate: command(
    'brings the schema and the publication up to date',
    'migrate',
    DATABASE_ONLY,
    async () => {
      const { migrate } = await import('../migrations/run.ts');
      return async (config, log) => {
        const { applied } = await migrate({
          url: config.migrateDatabaseUrl,
          log,
          publication: config.publication,
        });
        log.info({ applied }, 'schema is up to date');
        return 0;
      };
    },
  ),
  slot: command('slot status | create | drop', 'replicator', DATABASE_ONLY, async () => {
    const { runSlotCommand } = await import('../replicator/slot-command.ts');
    return runSlotCommand;
  }),
  verify: command('compares the cache with Postgres', 'cache', SERVICES_ONLY, async () => {
    const { runVerify } = await import('../server/api/verify.ts');
    return runVerify;
  }),
  dev: {
    says: 'everything on this machine: Postgres, Redis, schema, demo account, api, ingest, replicator',
    run: async () => {
      const { runDev } = await import('./dev.ts');
      return runDev(process.env);
    },
  },
  'fake-kommo': {
    says: 'a Kommo to develop against: [--port 4790] [--leads N] [--contacts N] [--seed N] [--edits PER MINUTE]',
    run: async (words) => {
      type FakeKommo = { runFakeKommo: (words: readonly string[]) => Promise<number> };
      const { runFakeKommo } = await loadFake<FakeKommo>('kommo/main.ts');
      return runFakeKommo(words);
    },
  },
  'fake-whatsapp': {
    says: 'a WhatsApp to develop against: [--port 4791] [--files-port N] [--phone DIGITS] [--seed N] [--life]',
    run: async (words) => {
      type FakeWhatsApp = { runFakeWhatsApp: (words: readonly string[]) => Promise<number> };
      const { runFakeWhatsApp } = await loadFake<FakeWhatsApp>('whatsapp/main.ts');
      return runFakeWhatsApp(words);
    },
  },
};

export function findRole(name: string): Role | undefined {
  return Object.hasOwn(ROLES, name) ? ROLES[name] : undefined;
}

const lines = Object.entries(ROLES).map(([name, role]) => `  ${name.padEnd(13)} ${role.says}\n`);

export const USAGE = `usage: clarin <role>\n\n${lines.join('')}\nSettings come from the environment; the README lists them.\n`;
