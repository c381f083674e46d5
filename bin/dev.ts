import { join } from 'node:path';
import { ClarinError } from '../domain/errors.ts';
import { migrate } from '../migrations/run.ts';
import { seedDemo } from '../migrations/seed.ts';
import type { Environment } from '../platform/config.ts';
import { EXIT } from '../platform/lifecycle.ts';
import { createLog } from '../platform/log.ts';
import { poll } from '../platform/services/processes.ts';
import { findServiceUser } from '../platform/services/service-user.ts';
import { startWatchdog } from '../platform/services/watchdog.ts';
import {
  assertFeedLoads,
  assertPortsFree,
  assertPostgresFits,
  assertRedisAt,
} from './dev/checks.ts';
import { findDataDirectory, lockDataDirectory, readSecrets } from './dev/data-directory.ts';
import { connectDemo, startDevKommo, type DevKommo } from './dev/fake-kommo.ts';
import { linkDemo, startDevWhatsApp, type DevWhatsApp } from './dev/fake-whatsapp.ts';
import { formatGreeting, type Ready } from './dev/greeting.ts';
import {
  ensureLogins,
  openLog,
  startPostgres,
  startRedis,
  type Logins,
  type Place,
} from './dev/services.ts';
import { readDevSettings } from './dev/settings.ts';
import { supervise, type Supervised } from './dev/supervisor.ts';

/**
 * Everything on one machine: services, schema, demo account and the three processes, until Ctrl-C.
 * What is started puts its end on a stack, which is worked off backwards however this ends.
 */
type Ends = (() => Promise<void> | void)[];

const READY_TIMEOUT_MS = 90_000;
/** After a kill the roles notice that dev is gone and take up to ten seconds to stop. */
const PATIENCE_AFTER_KILL_MS = 12_000;

const say = (line: string): void => void process.stdout.write(`${line}\n`);

export async function runDev(environment: Environment): Promise<number> {
  const asked = listenForStop(environment);
  const ends: Ends = [];
  try {
    const { fault } = await start(environment, ends, asked.signal);
    await Promise.race([asked.promise, fault]);
    say('Stopping.');
    return EXIT.ok;
  } catch (error) {
    if (asked.signal.aborted) return EXIT.ok;
    throw error;
  } finally {
    for (const end of ends.reverse()) {
      await Promise.resolve()
        .then(end)
        .catch((error: unknown) => say(`while stopping: ${String(error)}`));
    }
    if (asked.signal.aborted) say('Stopped.');
  }
}

/** A terminal and npm both pass Ctrl-C on: the second one means nothing new. */
function listenForStop(environment: Environment): { signal: AbortSignal; promise: Promise<void> } {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, stop);
  // Nobody reads any more, as in `clarin dev | head`.
  process.stdout.on('error', stop);
  // An npm that was killed outright passes nothing on: its child has another parent then.
  const parent = process.ppid;
  const orphaned = (): void => (process.ppid === parent ? undefined : stop());
  if (environment['npm_lifecycle_event']) setInterval(orphaned, 500).unref();
  const promise = new Promise<void>((resolve) => {
    controller.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  return { signal: controller.signal, promise };
}

/** Resolves when everything is ready; `fault` rejects when a service of ours ends by itself. */
async function start(environment: Environment, ends: Ends, stop: AbortSignal) {
  const settings = await readDevSettings(environment);
  await assertFeedLoads();
  const user = await findServiceUser();
  const directory = await findDataDirectory(settings.dataDirectory, user);
  const lock = await lockDataDirectory(directory);
  ends.push(() => lock.release());
  const ports = {
    API_PORT: settings.apiPort,
    FEED_PORT: settings.feedPort,
    INGEST_PORT: settings.ingestPort,
  };
  await assertPortsFree(settings.host, ports, lock.isAfterKill ? PATIENCE_AFTER_KILL_MS : 0);
  const place = { directory, user, secrets: await readSecrets(directory), settings };
  const services = await startServices(place, ends, stop);
  const prepared = await prepare(place, services);
  stop.throwIfAborted();
  const kommo = settings.hasFakeKommo ? await startDevKommo() : undefined;
  if (kommo) ends.push(() => kommo.stop());
  const whatsapp = settings.hasFakeWhatsApp
    ? await startDevWhatsApp({
        environment,
        logFile: await openLog(directory, 'fake-whatsapp'),
        say,
      })
    : undefined;
  if (whatsapp) ends.push(() => whatsapp.stop());
  const roles = await startRoles(place, { ...services, ...prepared, kommo, whatsapp }, ends);
  const ready: Ready = {
    api: `http://${visible(settings.host)}:${settings.apiPort}`,
    feed: `ws://${visible(settings.host)}:${settings.feedPort}/feed`,
    database: services.database,
    redis: services.redis,
    login: prepared.login,
  };
  await waitUntilReady(ready, roles, stop);
  if (kommo) await connectDemo(ready, kommo);
  if (whatsapp) await linkDemo(ready, whatsapp);
  const admins = { kommoAdmin: kommo?.admin, whatsapp };
  say(formatGreeting(ready, { dataDirectory: directory, ...admins }));
  say(`clarin ready ${JSON.stringify(ready)}`);
  return { fault: services.fault };
}

type Services = {
  /** The owner's URL. */
  readonly database: string;
  readonly redis: string;
  readonly isOurPostgres: boolean;
  /** Rejects when a service of ours ends by itself; never resolves. */
  readonly fault: Promise<never>;
};

async function startServices(place: Place, ends: Ends, stop: AbortSignal): Promise<Services> {
  const { environment, databaseUrl, redisUrl } = place.settings;
  const log = createLog({ component: 'dev', level: 'error' });
  // What is given is checked before anything of ours is started.
  if (databaseUrl !== undefined) {
    const replication = environment['REPLICATION_DATABASE_URL'];
    if (replication) await assertPostgresFits(replication, 'REPLICATION_DATABASE_URL');
    else await assertPostgresFits(databaseUrl, 'DATABASE_URL');
  }
  if (redisUrl !== undefined) await assertRedisAt(redisUrl, log);
  const postgres = databaseUrl === undefined ? await startPostgres(place) : undefined;
  if (postgres) ends.push(() => postgres.stop());
  stop.throwIfAborted();
  const redis = redisUrl === undefined ? await startRedis(place) : undefined;
  if (redis) ends.push(() => redis.stop());
  const watchdog = startWatchdog([
    ...(postgres ? [{ pid: postgres.pid, signal: 'INT' as const }] : []),
    ...(redis ? [{ pid: redis.pid, signal: 'TERM' as const }] : []),
  ]);
  ends.unshift(() => watchdog.dismiss());
  const fault = Promise.race([
    ...(postgres ? [postgres.ended.then(() => 'Postgres')] : []),
    ...(redis ? [redis.ended.then(() => 'Redis')] : []),
  ]).then((name): never => {
    throw new Error(`${name} ended by itself: see ${join(place.directory, 'logs')}.`);
  });
  fault.catch(() => undefined);
  return {
    database: postgres?.url ?? environment['MIGRATE_DATABASE_URL'] ?? databaseUrl ?? '',
    redis: redis?.url ?? redisUrl ?? '',
    isOurPostgres: postgres !== undefined,
    fault,
  };
}

type Prepared = { readonly login: Ready['login']; readonly logins: Logins | undefined };

async function prepare(place: Place, services: Services): Promise<Prepared> {
  const log = createLog({ component: 'migrate', level: 'warn' });
  await migrate({ url: services.database, log, publication: place.settings.publication });
  const logins = services.isOurPostgres
    ? await ensureLogins(services.database, place.secrets)
    : undefined;
  const { username, password } = await seedDemo({ url: services.database, log });
  return { login: { username, password }, logins };
}

async function startRoles(
  place: Place,
  given: Services & Prepared & { kommo: DevKommo | undefined; whatsapp: DevWhatsApp | undefined },
  ends: Ends,
): Promise<Supervised[]> {
  const { settings, secrets, directory } = place;
  const common = {
    ...settings.environment,
    REDIS_URL: given.redis,
    CLARIN_SECRET: settings.environment['CLARIN_SECRET'] || secrets.token,
    CLARIN_ENCRYPTION_KEY: settings.environment['CLARIN_ENCRYPTION_KEY'] || secrets.encryption,
    COOKIE_SECURE: 'false',
    MEDIA_DIR: settings.environment['MEDIA_DIR'] || join(directory, 'media'),
    API_PORT: String(settings.apiPort),
    FEED_PORT: String(settings.feedPort),
    INGEST_PORT: String(settings.ingestPort),
    ...given.kommo?.environment,
    ...given.whatsapp?.environment,
  };
  const roles: Supervised[] = [];
  for (const role of ['replicator', 'api', 'ingest'] as const) {
    const url = given.logins?.[role];
    const own = {
      ...(url !== undefined && { DATABASE_URL: url, REPLICATION_DATABASE_URL: url }),
      ...(role === 'ingest' && given.whatsapp?.ingestEnvironment),
    };
    const logFile = await openLog(directory, role);
    roles.push(supervise({ role, environment: { ...common, ...own }, logFile, say }));
  }
  ends.push(async () => {
    await Promise.all(roles.map((role) => role.stop()));
  });
  return roles;
}

/** @throws ClarinError of a role that refuses to start; `unavailable` when health stays red. */
async function waitUntilReady(
  ready: Ready,
  roles: readonly Supervised[],
  stop: AbortSignal,
): Promise<void> {
  const feed = ready.feed.replace(/^ws:/, 'http:').replace(/\/feed$/, '');
  let last = '';
  const green = poll(
    async () => {
      stop.throwIfAborted();
      const answers = await Promise.all([ready.api, feed].map((origin) => readHealth(origin)));
      last = answers.filter((answer) => answer !== undefined).join('; ');
      return last === '' ? { value: true } : undefined;
    },
    { timeoutMs: READY_TIMEOUT_MS, everyMs: 100 },
  );
  if (!(await Promise.race([green, ...roles.map((role) => role.refused)]))) {
    throw new ClarinError('unavailable', `Not ready after ${READY_TIMEOUT_MS / 1_000} s: ${last}`);
  }
  for (const role of roles) role.settle();
}

/** Why it is not ready; undefined when it is. */
async function readHealth(origin: string): Promise<string | undefined> {
  try {
    const answer = await fetch(`${origin}/health/ready`, { signal: AbortSignal.timeout(2_000) });
    return answer.ok ? undefined : `${origin}: ${await answer.text()}`;
  } catch (error) {
    return `${origin}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** An address that a browser on this machine can use. */
function visible(host: string): string {
  return host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host;
}
