import { afterEach, beforeEach, expect, test } from 'vitest';
import { issueAccessToken } from '../../platform/access.ts';
import { FeedClient } from '../feed/support.ts';
import { createTestDatabase, eventually } from '../support/services.ts';
import { createWorld, insertTag, isGreen, untilGreen, type World } from './running.ts';
import { connect } from './support.ts';

let world: World;
let account: number;

beforeEach(async () => {
  world = await createWorld(await createTestDatabase());
  account = await world.createAccount('acme');
});

afterEach(() => world.close());

test('[R13] sockets whose principals cannot be read hold up neither the gate nor the heartbeat', async () => {
  const replicator = await world.start();
  await untilGreen(replicator);
  const blocker = await connect(world.database.ownerUrl);
  await blocker.query('begin');
  await blocker.query('lock table sessions in access exclusive mode');
  const claims = { sessionId: 1, userId: 1, accountId: account };
  const { token } = await issueAccessToken(world.config.secret, claims, Date.now() / 1_000);
  const clients = Array.from({ length: 40 }, () => new FeedClient(replicator.feedPort));
  for (const client of clients) {
    await client.opened();
    client.send({ type: 'hello', version: 1, token });
  }
  await new Promise((resolve) => setTimeout(resolve, 3_500));
  expect(await isGreen(replicator)).toBe(true);
  await insertTag(world.client, account, 'meanwhile');
  await eventually(async () => (await world.readNames(account)).includes('meanwhile'), {
    timeoutMs: 1_000,
  });
  await blocker.end();
  for (const client of clients) client.close();
});
