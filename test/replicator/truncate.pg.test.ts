import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, eventually } from '../support/services.ts';
import { createWorld, untilGreen, type World } from './running.ts';

let world: World;

beforeEach(async () => {
  world = await createWorld(await createTestDatabase());
});

afterEach(() => world.close());

test('[R8] reaches an account of which Redis holds nothing yet: somebody may hold a cursor of it', async () => {
  const account = await world.createAccount('quiet');
  const replicator = await world.start();
  await untilGreen(replicator);
  await world.client.query('truncate lead_tags');
  const [commit] = await eventually(async () => {
    const commits = await world.readLog(account);
    return commits.length > 0 ? commits : undefined;
  });
  expect(commit?.changes).toMatchObject([{ table: 'lead_tags', op: 'truncate' }]);
});
