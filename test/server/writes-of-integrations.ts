import type { Answer } from './support.ts';

type Run = (route: string, body?: object, path?: string) => Promise<Answer['body']>;

/** Every writing route of API keys, devices and Kommo, in an order in which each finds what it needs. */
export async function writeIntegrations(run: Run, n: number): Promise<void> {
  const key = await run('POST /api/api_keys', { name: `Robot ${n}`, permissions: ['leads'] });
  await run('PATCH /api/api_keys/{id}', { name: 'Renamed' }, `/api/api_keys/${key.id}`);
  await run('POST /api/api_keys/{id}/revoke', undefined, `/api/api_keys/${key.id}/revoke`);
  await run('DELETE /api/api_keys/{id}', undefined, `/api/api_keys/${key.id}`);

  const device = await run('POST /api/devices', { name: `Device ${n}` });
  const path = `/api/devices/${device.id}`;
  await run('PATCH /api/devices/{id}', { name: 'Renamed' }, path);
  await run('POST /api/devices/{id}/connect', undefined, `${path}/connect`);
  await run('POST /api/devices/{id}/pairing', { kind: 'qr' }, `${path}/pairing`);
  await run('DELETE /api/devices/{id}/pairing', undefined, `${path}/pairing`);
  await run('POST /api/devices/{id}/disconnect', undefined, `${path}/disconnect`);
  await run('POST /api/devices/{id}/logout', undefined, `${path}/logout`);
  await run('DELETE /api/devices/{id}', undefined, path);

  const connecting = { subdomain: `written-${n}`, access_token: 'token' };
  const connection = await run('POST /api/kommo/connections', connecting);
  const kommo = `/api/kommo/connections/${connection.id}`;
  const all = 'PUT /api/kommo/connections/{id}/pipelines';
  await run(all, { connected_ids: [] }, `${kommo}/pipelines`);
  await run('POST /api/kommo/connections/{id}/full-sync', undefined, `${kommo}/full-sync`);
  await run('POST /api/kommo/connections/{id}/cancel', undefined, `${kommo}/cancel`);
  await run('POST /api/kommo/connections/{id}/disconnect', undefined, `${kommo}/disconnect`);
  await run('DELETE /api/kommo/connections/{id}', undefined, kommo);
}
