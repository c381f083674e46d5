import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createSecretBox } from '../../platform/secret-box.ts';
import { connectKommo, disconnectKommo } from '../../server/commands/connect-kommo.ts';
import { openLiveWorld, type LiveWorld } from './live-world.ts';

let world: LiveWorld;

beforeAll(async () => {
  world = await openLiveWorld();
});
afterAll(() => world.close());

it('[A11] shows connections to Kommo as they come and go, and never a token, in the clear or sealed', async () => {
  const { accountId } = await world.account('kommo');
  const client = await world.client(await world.token(await world.member(accountId, ['*'])));
  await client.subscribe('x', [{ table: 'kommo_connections' }, { table: 'audit_log' }]);
  const tokens = { accessToken: 'access-token-of-kommo', refreshToken: 'refresh-token-of-kommo' };
  const box = createSecretBox(randomBytes(32));
  const { value } = await world.db.transaction((tx) =>
    connectKommo(tx, { box, accountId, subdomain: 'feed', tokens }),
  );
  const { id } = JSON.parse(value.json) as { id: number };
  expect((await client.next('commit')).changes).toContainEqual(
    expect.objectContaining({ table: 'kommo_connections', op: 'insert', key: { id } }),
  );
  await world.db.transaction((tx) => disconnectKommo(tx, { accountId, id }));
  await client.next('commit');
  expect(client.texts.join('\n')).not.toMatch(/token-of-kommo|access_token|refresh_token"/);
});
