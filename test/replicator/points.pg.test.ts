import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Point } from '../../replicator/seams.ts';
import { createTestDatabase, eventually } from '../support/services.ts';
import { createWorld, insertTag, untilGreen, type Started, type World } from './running.ts';

/** Where the attempt ends next; it ends there once. */
let next: Point | undefined;
let world: World;
let replicator: Started;

beforeAll(async () => {
  world = await createWorld(await createTestDatabase());
  replicator = await world.start({
    seams: {
      at: (point) => {
        if (point !== next) return;
        next = undefined;
        throw new Error(`it ends at ${point}`);
      },
    },
  });
  await untilGreen(replicator);
});
afterAll(() => world.close());

describe('an attempt that ends between any two steps', () => {
  test.each([
    'decoded',
    'visible',
    'written',
    'applied',
    'delivered',
    'returned',
    'acknowledged',
  ] as const)('[R15] at %s: every commit is applied once and in order', async (point) => {
    const account = await world.createAccount(`ends-at-${point}`);
    await insertTag(world.client, account, 'before');
    next = point;
    const names = ['one', 'two', 'three'];
    for (const name of names) await insertTag(world.client, account, name);
    await eventually(
      async () => next === undefined && (await world.readNames(account)).length > 3,
      {
        timeoutMs: 30_000,
        says: 'it has ended there, and everything is applied',
      },
    );
    await untilGreen(replicator);
    expect(await world.readNames(account)).toEqual(['before', ...names]);
    expect((await replicator.metrics.epochChanges.get()).values).toHaveLength(1);
  });
});
