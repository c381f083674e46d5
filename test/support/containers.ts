import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

type Options = {
  conf: string;
  settings: Readonly<Record<string, string>>;
  given: { postgres: string | undefined; redis: string | undefined };
};

export type Containers = {
  /**
   * Undefined where neither a URL was given nor an engine answers: then the embedded services are
   * used.
   */
  readonly urls: { postgres: string | undefined; redis: string | undefined };
  stop(): Promise<void>;
};

const ENGINE_TIMEOUT_MS = 5_000;

/**
 * Postgres and Redis in containers, each only where no URL was given for it; nothing where no
 * engine answers.
 */
export async function startContainers({ conf, settings, given }: Options): Promise<Containers> {
  const urls = { postgres: given.postgres || undefined, redis: given.redis || undefined };
  const nothing = { urls, stop: async () => undefined };
  // PG_BIN asks for certain binaries: a container would not run them.
  const wantsPostgres = urls.postgres === undefined && !process.env['PG_BIN'];
  if ((!wantsPostgres && urls.redis !== undefined) || !(await engineAnswers())) return nothing;
  const { GenericContainer, Wait } = await import('testcontainers');
  const stops: (() => Promise<unknown>)[] = [];
  if (wantsPostgres) {
    const flags = Object.entries({ ...settings, listen_addresses: '*' }).flatMap(
      ([name, value]) => ['-c', `${name}=${value}`],
    );
    const postgres = await new GenericContainer('postgres:18-alpine')
      .withEnvironment({ POSTGRES_USER: 'clarin', POSTGRES_PASSWORD: 'clarin-test' })
      .withCopyContentToContainer([{ content: conf, target: '/etc/postgres.conf', mode: 0o644 }])
      .withCommand(['postgres', '-c', 'config_file=/etc/postgres.conf', ...flags])
      .withExposedPorts(5432)
      // The image starts the server twice: the first time only for its own set-up.
      .withWaitStrategy(Wait.forLogMessage(/ready to accept connections/, 2))
      .start();
    stops.push(() => postgres.stop());
    const address = `${postgres.getHost()}:${postgres.getMappedPort(5432)}`;
    urls.postgres = `postgres://clarin:clarin-test@${address}/postgres`;
  }
  if (urls.redis === undefined) {
    const redis = await new GenericContainer('redis:7-alpine')
      .withCommand(['redis-server', '--save', '', '--maxmemory-policy', 'noeviction'])
      .withExposedPorts(6379)
      .start();
    stops.push(() => redis.stop());
    urls.redis = `redis://${redis.getHost()}:${redis.getMappedPort(6379)}`;
  }
  return {
    urls,
    stop: async () => {
      await Promise.all(stops.map((stop) => stop()));
    },
  };
}

/** Looks for a socket before it asks: without one testcontainers takes seconds to say no. */
async function engineAnswers(): Promise<boolean> {
  const runtime = process.env['XDG_RUNTIME_DIR'];
  const sockets = [
    '/var/run/docker.sock',
    join(homedir(), '.docker', 'run', 'docker.sock'),
    join(homedir(), '.docker', 'desktop', 'docker.sock'),
    join(homedir(), '.colima', 'default', 'docker.sock'),
    ...(runtime ? [join(runtime, 'docker.sock'), join(runtime, 'podman', 'podman.sock')] : []),
  ];
  if (!process.env['DOCKER_HOST'] && !sockets.some((socket) => existsSync(socket))) return false;
  const { getContainerRuntimeClient } = await import('testcontainers');
  const late = new Promise<boolean>((resolve) => {
    setTimeout(() => resolve(false), ENGINE_TIMEOUT_MS).unref();
  });
  const asked = getContainerRuntimeClient().then(
    () => true,
    () => false,
  );
  return Promise.race([asked, late]);
}
