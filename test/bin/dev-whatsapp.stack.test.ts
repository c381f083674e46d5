import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, inject, it, onTestFinished } from 'vitest';
import { callApi } from '../../bin/dev/call-api.ts';
import type { Ready } from '../../bin/dev/greeting.ts';
import { findFreePort } from '../../platform/services/ports.ts';
import { eventually } from '../support/services.ts';
import { spawnRole, type RunningRole } from '../support/spawn-role.ts';

const READY = 'clarin ready ';
const ROSA = '51987654301';

type Page = { readonly data: readonly Record<string, unknown>[] };

async function startDev(environment: Record<string, string>): Promise<[RunningRole, Ready]> {
  const dev = await spawnRole('dev', environment, { until: 'nothing' });
  onTestFinished(async () => void (await dev.stop()));
  const line = await eventually(() => dev.text.find((each) => each.startsWith(READY)), {
    timeoutMs: 110_000,
    says: 'dev is ready',
  });
  return [dev, JSON.parse(line.slice(READY.length)) as Ready];
}

/** What somebody writes in the fake that dev has started, and how it is seen through the API. */
async function writeAndRead(dev: RunningRole, ready: Ready, text: string): Promise<void> {
  const admin = /http:\/\/127\.0\.0\.1:\d+\/__admin/.exec(dev.text.join('\n'))?.[0] ?? '';
  const message = { from: ROSA, to: '51999000001', what: { text } };
  const body = JSON.stringify(message);
  const written = await fetch(`${admin}/messages`, { method: 'POST', body });
  expect(written.status).toBe(200);
  const { token } = await callApi<{ token: string }>(ready, 'POST /api/auth/login', ready.login);
  const [device] = (await callApi<Page>(ready, 'GET /api/devices?search=Fake', undefined, token))
    .data;
  expect(device).toMatchObject({ name: 'Fake WhatsApp', status: 'connected' });
  await eventually(async () => {
    const route = 'GET /api/chats?sort=active_at&order=desc';
    const { data } = await callApi<Page>(ready, route, undefined, token);
    return data.some((chat) => chat['last_message'] === text);
  });
}

it('with CLARIN_WHATSAPP_FAKE a device is linked, people write to it, and a second start links it anew', async () => {
  const environment = {
    CLARIN_DATA_DIR: await mkdtemp(join(inject('runDirectory'), 'dev-whatsapp-')),
    CLARIN_WHATSAPP_FAKE: '1',
    API_PORT: String(await findFreePort()),
    FEED_PORT: String(await findFreePort()),
    ...(process.env['PG_BIN'] && { PG_BIN: process.env['PG_BIN'] }),
  };
  const [first, ready] = await startDev(environment);
  await writeAndRead(first, ready, 'la primera vez');
  await first.stop();
  const [second, again] = await startDev(environment);
  await writeAndRead(second, again, 'la segunda vez');
}, 280_000);
