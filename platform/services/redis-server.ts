import { spawn, type ChildProcess } from 'node:child_process';
import { connect } from 'node:net';
import { mkdir, open } from 'node:fs/promises';
import { ClarinError } from '../../domain/errors.ts';
import type { RedisBinary } from './redis-binary.ts';
import { endProcess, hasEnded, poll, runToEnd } from './processes.ts';

export type RedisOptions = {
  readonly binary: RedisBinary;
  readonly port: number;
  /** Its working directory; made when missing. */
  readonly directory: string;
  /** Undefined: everybody on this machine may connect (tests). */
  readonly password: string | undefined;
  readonly settings?: Readonly<Record<string, string>>;
  readonly logFile: string;
};

export type RunningRedis = {
  readonly url: string;
  readonly port: number;
  /** Of the program, or of the Docker client that holds the container. */
  readonly pid: number;
  stop(): Promise<void>;
  /** It keeps its connections and answers nothing, until `resume`. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Resolves when the server ends, whoever ended it. */
  readonly ended: Promise<void>;
};

const START_TIMEOUT_MS = 60_000;

/**
 * A Redis of ours on 127.0.0.1 that evicts nothing and keeps nothing on disk: what it holds can
 * always be made again from Postgres. Never a service of the system.
 * @throws ClarinError `configuration` when it does not start.
 */
export async function startRedisServer(options: RedisOptions): Promise<RunningRedis> {
  await mkdir(options.directory, { recursive: true });
  const container = `clarin-redis-${options.port}-${process.pid}`;
  const child = await launch(options, container);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const ready = await poll(
    async () => {
      if (hasEnded(child)) return { value: false };
      return (await answers(options.port)) ? { value: true } : undefined;
    },
    { timeoutMs: START_TIMEOUT_MS, everyMs: 25 },
  );
  if (ready?.value !== true || child.pid === undefined) {
    await endProcess(child, 'SIGTERM', 5_000);
    throw new ClarinError(
      'configuration',
      `Redis does not start on port ${options.port}: see ${options.logFile}.`,
    );
  }
  const inDocker = options.binary.kind === 'docker';
  const steer = async (verb: 'pause' | 'unpause', signal: NodeJS.Signals): Promise<void> => {
    if (inDocker) await runToEnd('docker', [verb, container], { timeoutMs: 20_000 });
    else child.kill(signal);
  };
  const resume = (): Promise<void> => steer('unpause', 'SIGCONT');
  const authority = options.password === undefined ? '' : `:${options.password}@`;
  return {
    url: `redis://${authority}127.0.0.1:${options.port}`,
    port: options.port,
    pid: child.pid,
    ended,
    pause: () => steer('pause', 'SIGSTOP'),
    resume,
    stop: async () => {
      if (hasEnded(child)) return;
      await resume();
      await endProcess(child, 'SIGTERM', 10_000);
    },
  };
}

async function launch(options: RedisOptions, container: string): Promise<ChildProcess> {
  const { binary } = options;
  const log = await open(options.logFile, 'a', 0o600);
  // The settings arrive on standard input, so that no list of processes shows the password.
  const conf = formatConf(options);
  try {
    const [command, parameters] =
      binary.kind === 'program'
        ? [binary.path, ['-']]
        : ['docker', dockerParameters(options.port, container, binary.image)];
    const child = spawn(command, parameters, {
      cwd: options.directory,
      ...(binary.kind === 'program' && {
        env: {
          PATH: '/usr/bin:/bin',
          LC_ALL: 'C',
          ...(binary.libraryPath && { LD_LIBRARY_PATH: binary.libraryPath }),
        },
      }),
      detached: true,
      stdio: ['pipe', log.fd, log.fd],
    });
    child.on('error', () => undefined);
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(conf);
    return child;
  } finally {
    await log.close();
  }
}

function dockerParameters(port: number, container: string, image: string): string[] {
  const publish = `127.0.0.1:${port}:${port}`;
  return [
    'run',
    '--rm',
    '--interactive',
    '--name',
    container,
    '--publish',
    publish,
    image,
    'redis-server',
    '-',
  ];
}

function formatConf(options: RedisOptions): string {
  const settings: Record<string, string> = {
    port: String(options.port),
    // A container is reached through its published port only.
    bind: options.binary.kind === 'docker' ? '0.0.0.0' : '127.0.0.1',
    'protected-mode': options.binary.kind === 'docker' ? 'no' : 'yes',
    save: '""',
    appendonly: 'no',
    'maxmemory-policy': 'noeviction',
    ...(options.password !== undefined && { requirepass: options.password }),
    ...options.settings,
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name} ${value}\n`)
    .join('');
}

/** A refusal for want of a password is an answer too. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 1_000 });
    const end = (answered: boolean): void => {
      socket.destroy();
      resolve(answered);
    };
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (reply) => end(/^(\+PONG|-NOAUTH)/.test(reply.toString())));
    for (const event of ['error', 'timeout', 'close'] as const)
      socket.once(event, () => end(false));
  });
}
