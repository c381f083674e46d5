import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { endProcess, waitForExit } from '../../../platform/services/processes.ts';
import { eventually } from '../../support/eventually.ts';
import { connect, newSession } from './client.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

describe('clarin fake-whatsapp', () => {
  it('prints where it is, links a device, answers what it sends, prints no key, and ends with exit code 0', async () => {
    const words = ['fake-whatsapp', '--port', '0', '--life', '--phone', '51999000009'];
    const child = spawn(process.execPath, [join(ROOT, 'bin/clarin.mjs'), ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onTestFinished(() => endProcess(child, 'SIGKILL', 1_000));
    const lines: string[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
    createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
    const printed = await eventually(
      () => lines.map((line) => /^fake-whatsapp ready (.*)$/.exec(line)?.[1]).find(Boolean),
      { timeoutMs: 60_000 },
    );
    const ready = JSON.parse(printed) as { url: string; httpUrl: string; phone: string };

    const session = newSession();
    const first = connect(ready.url, session);
    const scanned = await fetch(`${ready.httpUrl}/__admin/people/${ready.phone}/scan`, {
      method: 'POST',
      body: JSON.stringify({ qr: await first.qr() }),
    });
    expect(scanned.status).toBe(200);
    expect(await first.closed()).toBe(515);
    const client = connect(ready.url, session);
    await client.isOpen();
    // Somebody answers, or writes by himself, within half a minute.
    const rosa = '51987654301@s.whatsapp.net';
    await client.socket.sendMessage(rosa, { text: '¿Está ahí?' });
    await eventually(() => client.messages.some(({ key }) => key.fromMe === false), {
      timeoutMs: 60_000,
    });
    child.kill('SIGTERM');
    await waitForExit(child, 10_000);
    expect(child.exitCode).toBe(0);
    expect(lines.join('\n')).not.toMatch(/privKey|Closing session|<Buffer/);
  });
});
