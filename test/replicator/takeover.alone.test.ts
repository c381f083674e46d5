import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, eventually } from '../support/services.ts';
import { spawnRole, type RunningRole } from '../support/spawn-role.ts';
import { createWorld, insertTag, type World } from './running.ts';

let world: World;
let account: number;
let leader: RunningRole;
let standby: RunningRole;

beforeEach(async () => {
  world = await createWorld(await createTestDatabase());
  account = await world.createAccount('acme');
  const environment = {
    DATABASE_URL: world.config.databaseUrl,
    REPLICATION_DATABASE_URL: world.config.replicationDatabaseUrl,
    REDIS_URL: world.config.redisUrl,
    CLARIN_REDIS_PREFIX: world.config.redisPrefix,
    CLARIN_SECRET: world.config.secret,
    LOG_LEVEL: 'info',
  };
  leader = await spawnRole('replicator', environment);
  standby = await spawnRole('replicator', environment);
});

afterEach(async () => {
  leader.kill('SIGCONT');
  await Promise.all([leader.stop(), standby.stop()]);
  await world.close();
});

const hasArrived = async (name: string): Promise<boolean> =>
  (await world.readNames(account)).includes(name);
const says = (role: RunningRole, message: string): boolean =>
  role.log.some((line) => line['message'] === message);

describe('takeover', () => {
  test('[R21] a leader that is killed is replaced within two seconds, and nothing is lost or doubled', async () => {
    const names: string[] = [];
    for (let index = 0; index < 30; index++) {
      names.push(`tag ${index}`);
      await insertTag(world.client, account, `tag ${index}`);
      if (index === 15) leader.kill('SIGKILL');
    }
    await leader.exited;
    const startedAt = performance.now();
    await insertTag(world.client, account, 'after');
    await eventually(() => hasArrived('after'), { everyMs: 10 });
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(await world.readNames(account)).toEqual([...names, 'after']);
    await standby.waitUntil('ready');
    expect(says(standby, 'leader')).toBe(true);
    expect(says(standby, 'the epoch is kept')).toBe(true);
  });

  test('[R21] a leader that is stopped is replaced, and changes nothing when it goes on', async () => {
    const before = (await world.control.readControl())?.term ?? 0;
    leader.kill('SIGSTOP');
    await insertTag(world.client, account, 'while stopped');
    await eventually(() => hasArrived('while stopped'), {
      timeoutMs: 20_000,
      says: 'the standby has taken over',
    });
    leader.kill('SIGCONT');
    await eventually(() => says(leader, 'no longer leader'), {
      timeoutMs: 15_000,
      says: 'the old leader steps down',
    });
    await insertTag(world.client, account, 'afterwards');
    await eventually(() => hasArrived('afterwards'));
    expect(await world.readNames(account)).toEqual(['while stopped', 'afterwards']);
    expect((await world.control.readControl())?.term).toBeGreaterThan(before);
    await leader.waitUntil('ready');
    expect(says(standby, 'no longer leader')).toBe(false);
  });
});
