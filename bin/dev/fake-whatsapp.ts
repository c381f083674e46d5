import { spawn, type ChildProcess } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ClarinError } from '../../domain/errors.ts';
import type { Environment } from '../../platform/config.ts';
import { choosePort } from '../../platform/services/ports.ts';
import { endProcess, poll } from '../../platform/services/processes.ts';
import { callApi } from './call-api.ts';
import { CHECKOUT } from './data-directory.ts';
import type { Ready } from './greeting.ts';

/** What `clarin fake-whatsapp` prints in its last line. */
type Printed = {
  readonly url: string;
  readonly httpUrl: string;
  readonly certificatePath: string;
  readonly phone: string;
};

export type DevWhatsApp = {
  /** Of its program interface, for the roles. */
  readonly environment: Readonly<Record<string, string>>;
  /** Besides, for the role that uploads files: Node reads it when it starts. */
  readonly ingestEnvironment: Readonly<Record<string, string>>;
  readonly admin: string;
  readonly phone: string;
  stop(): Promise<void>;
};

const PORT = 4791;
const READY_TIMEOUT_MS = 60_000;
const LINKED_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 5_000;
const NAME = 'Fake WhatsApp';

/**
 * A fake WhatsApp in a process of its own, whose people write by themselves.
 * @throws ClarinError `configuration` when it does not start.
 */
export async function startDevWhatsApp(options: {
  environment: Environment;
  logFile: string;
  /** What a person in front of the terminal should read. */
  say: (line: string) => void;
}): Promise<DevWhatsApp> {
  const port = await choosePort('127.0.0.1', PORT);
  const words = ['fake-whatsapp', '--port', String(port), '--life'];
  const child = spawn(process.execPath, [join(CHECKOUT, 'bin', 'clarin.mjs'), ...words], {
    cwd: CHECKOUT,
    env: { ...options.environment },
    // As with the roles: Ctrl-C reaches dev alone, and the channel tells when dev is gone.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let isStopping = false;
  child.once('close', () => {
    // What was in it is gone: another one would know nobody.
    if (!isStopping) options.say('[fake-whatsapp] ended; dev has to be started anew to have one');
  });
  const stop = (): Promise<void> => {
    isStopping = true;
    return endProcess(child, 'SIGTERM', STOP_TIMEOUT_MS);
  };
  const printed = await readReady(child, options.logFile);
  if (!printed) {
    await stop();
    throw new ClarinError(
      'configuration',
      `The fake WhatsApp does not start: see ${options.logFile}.`,
    );
  }
  return {
    environment: { WHATSAPP_URL: printed.url },
    ingestEnvironment: { NODE_EXTRA_CA_CERTS: printed.certificatePath },
    admin: `${printed.httpUrl}/__admin`,
    phone: printed.phone,
    stop,
  };
}

/** Undefined when it ended without, or takes too long; what it prints is kept. */
function readReady(child: ChildProcess, logFile: string): Promise<Printed | undefined> {
  const log = createWriteStream(logFile, { flags: 'a', mode: 0o600 });
  log.on('error', () => undefined);
  child.stderr?.pipe(log, { end: false });
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), READY_TIMEOUT_MS);
    const settle = (printed: Printed | undefined): void => {
      clearTimeout(timer);
      resolve(printed);
    };
    child.once('error', () => settle(undefined));
    child.once('close', () => {
      log.end();
      settle(undefined);
    });
    if (!child.stdout) return settle(undefined);
    createInterface({ input: child.stdout }).on('line', (line) => {
      log.write(`${line}\n`);
      const json = /^fake-whatsapp ready (.*)$/.exec(line)?.[1];
      if (json !== undefined) settle(JSON.parse(json) as Printed);
    });
  });
}

/**
 * The demo account's device is linked as a person would do it: asked for a code, which the fake's phone scans. The fake
 * forgets with every start, the account does not: a device of before is logged out first, then linked anew.
 * @throws Error when the API refuses, or it is not connected within two minutes.
 */
export async function linkDemo(ready: Ready, whatsapp: DevWhatsApp): Promise<void> {
  const { token } = await callApi<{ token: string }>(ready, 'POST /api/auth/login', ready.login);
  const id = await findDevice(ready, token);
  const linked = await poll(
    async () => {
      const { data: device } = await callApi<Row>(
        ready,
        `GET /api/devices/${id}`,
        undefined,
        token,
      );
      if (device.status === 'connected' && (await isKnown(whatsapp))) return { value: true };
      await showAndScan(ready, whatsapp, { id, token }).catch(() => undefined);
      return undefined;
    },
    { timeoutMs: LINKED_TIMEOUT_MS, everyMs: 1_000 },
  );
  if (!linked) throw new Error('the device was not linked with the fake WhatsApp');
}

type Device = { readonly id: number; readonly name: string; readonly status: string };
type Row = { readonly data: Device };
type Rows = { readonly data: readonly Device[] };

async function findDevice(ready: Ready, token: string): Promise<number> {
  const path = `/api/devices?search=${encodeURIComponent(NAME)}`;
  const { data } = await callApi<Rows>(ready, `GET ${path}`, undefined, token);
  const known = data.find(({ name }) => name === NAME);
  if (known) return known.id;
  const made = await callApi<Row>(ready, 'POST /api/devices', { name: NAME }, token);
  return made.data.id;
}

/** Not a device of an earlier start, which the fake does not know. */
async function isKnown({ admin }: DevWhatsApp): Promise<boolean> {
  const answer = await fetch(`${admin}/devices`);
  const devices = (await answer.json()) as readonly { isActive: boolean }[];
  return devices.some(({ isActive }) => isActive);
}

async function showAndScan(
  ready: Ready,
  { admin, phone }: DevWhatsApp,
  { id, token }: { id: number; token: string },
): Promise<void> {
  type Pairing = { readonly data: { readonly code: string | null } };
  const path = `/api/devices/${id}/pairing`;
  const { data } = await callApi<Pairing>(ready, `POST ${path}`, { kind: 'qr' }, token);
  if (data.code === null) return;
  await fetch(`${admin}/people/${phone}/scan`, {
    method: 'POST',
    body: JSON.stringify({ qr: data.code }),
  });
}
