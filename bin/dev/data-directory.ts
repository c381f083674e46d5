import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { ClarinError } from '../../domain/errors.ts';
import { isAlive, readCommandLine, type ServiceUser } from '../../platform/services/processes.ts';
import { canEnter, canWrite } from '../../platform/services/service-user.ts';

/** Compiled files are one level deeper, in dist/. */
const above = fileURLToPath(new URL('../../', import.meta.url));
export const CHECKOUT = existsSync(join(above, 'package.json')) ? above : join(above, '..');

/**
 * Where dev keeps everything: CLARIN_DATA_DIR; else `.clarin` in the checkout; else, when root's
 * Postgres cannot go there (below a 0700 directory) or the checkout cannot be written, a directory
 * of this checkout's own elsewhere.
 * @throws ClarinError `configuration` when the given one will not do.
 */
export async function findDataDirectory(
  given: string | undefined,
  user: ServiceUser | undefined,
): Promise<string> {
  if (given !== undefined) {
    const directory = resolve(given);
    const why = await whyUnusable(directory, user);
    if (why === undefined) return directory;
    throw new ClarinError(
      'configuration',
      `CLARIN_DATA_DIR will not do: ${why}. Name another directory.`,
    );
  }
  const name = createHash('sha256').update(CHECKOUT).digest('hex').slice(0, 12);
  const elsewhere = user ? '/var/lib/clarin' : join(homedir(), '.local', 'share', 'clarin');
  const reasons: string[] = [];
  for (const directory of [join(CHECKOUT, '.clarin'), join(elsewhere, name)]) {
    const why = await whyUnusable(directory, user);
    if (why === undefined) return directory;
    reasons.push(why);
  }
  throw new ClarinError(
    'configuration',
    `There is no place for the data (${reasons.join('; ')}): set CLARIN_DATA_DIR to a directory.`,
  );
}

/** Makes the directory where it is missing. */
async function whyUnusable(
  directory: string,
  user: ServiceUser | undefined,
): Promise<string | undefined> {
  try {
    const made = await mkdir(directory, { recursive: true, mode: 0o755 });
    // Others pass through to what is theirs; what is secret is closed by itself.
    if (made !== undefined) await chmod(directory, 0o755);
    if (!(await canWrite(directory))) return `${directory} cannot be written`;
    if (await letEnter(directory, user)) return undefined;
    if (made !== undefined) await rm(made, { recursive: true });
    return `Postgres refuses to run as root, and the user ${user?.name ?? 'you'} cannot enter ${directory}`;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * A directory made by `mktemp -d` is closed to everybody else: being ours, it is opened for passing
 * through.
 */
async function letEnter(directory: string, user: ServiceUser | undefined): Promise<boolean> {
  if (await canEnter(directory, user)) return true;
  const { mode } = await stat(directory);
  await chmod(directory, mode | 0o011);
  if (await canEnter(directory, user)) return true;
  await chmod(directory, mode);
  return false;
}

export type DevLock = {
  /** The one before was killed: its processes may still be on their way out. */
  readonly isAfterKill: boolean;
  release(): Promise<void>;
};

/** One dev per data directory. @throws ClarinError `configuration` while another one lives. */
export async function lockDataDirectory(directory: string): Promise<DevLock> {
  const file = join(directory, 'dev.pid');
  const before = await readFile(file, 'utf8').catch(() => undefined);
  const pid = Number.parseInt(before ?? '', 10);
  // The number may belong to somebody else by now.
  if (
    pid > 0 &&
    pid !== process.pid &&
    isAlive(pid) &&
    (await readCommandLine(pid)).includes('clarin')
  ) {
    throw new ClarinError(
      'configuration',
      `Clarin already runs with ${directory} (process ${pid}): stop that one, or set CLARIN_DATA_DIR to another directory.`,
    );
  }
  await writeFile(file, `${process.pid}\n`);
  return { isAfterKill: before !== undefined, release: () => rm(file, { force: true }) };
}

const secret = z.string().regex(/^[0-9a-f]{32,}$/);
const secretsSchema = z.object({
  owner: secret,
  api: secret,
  ingest: secret,
  replicator: secret,
  redis: secret,
  /** Signs access tokens. */
  token: secret,
  /** Seals tokens of other services. */
  encryption: z.string().regex(/^[0-9a-f]{64}$/),
});

export type Secrets = z.infer<typeof secretsSchema>;

/** Passwords of this installation, made once and readable by their owner only. */
export async function readSecrets(directory: string): Promise<Secrets> {
  const file = join(directory, 'secrets.json');
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text !== undefined) {
    const kept = parseJson(text);
    // Directories of before have none, and nothing that was sealed with it.
    const parsed = secretsSchema.safeParse({ encryption: makeSecret(), ...kept });
    if (parsed.success) {
      if (kept?.['encryption'] === undefined) await writeSecrets(file, parsed.data);
      return parsed.data;
    }
    throw new ClarinError(
      'configuration',
      `${file} is damaged: remove ${directory} to start anew.`,
    );
  }
  const names = Object.keys(secretsSchema.shape);
  const made = secretsSchema.parse(Object.fromEntries(names.map((name) => [name, makeSecret()])));
  await writeSecrets(file, made);
  return made;
}

function makeSecret(): string {
  return randomBytes(32).toString('hex');
}

function writeSecrets(file: string, secrets: Secrets): Promise<void> {
  return writeFile(file, `${JSON.stringify(secrets, undefined, 2)}\n`, { mode: 0o600 });
}

function parseJson(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
