import { afterAll, describe, expect, test } from 'vitest';
import type { RunningReplicator } from '../../replicator/main.ts';
import { eventually, startPostgres, startRedis, type TestRedis } from '../support/services.ts';
import { createWorld, insertTag, untilGreen, type World } from './running.ts';
import { connect, one } from './support.ts';

/** What the promise says: detected within this, by a check that is about the slot or the stream. */
const DETECTED_MS = 5_000;
const figures: string[] = [];

/** By the check of the slot; where it is made anew before anybody has looked, by that of the stream. */
async function isDetected(replicator: RunningReplicator, by: readonly string[]): Promise<boolean> {
  const { checks } = await replicator.health();
  return checks.some(({ name, ok }) => !ok && by.includes(name));
}

type Loss = {
  readonly world: World;
  readonly replicator: RunningReplicator;
  readonly name: string;
  /** Names of the checks of health by one of which it is seen. */
  readonly by: readonly string[];
};

/** From a slot that was lost just now to a feed that is live again, with nobody's help. */
async function recover(
  { world, replicator, name, by }: Loss,
  help: () => Promise<void>,
): Promise<void> {
  const lostMs = performance.now();
  const since = (): string => `${((performance.now() - lostMs) / 1_000).toFixed(1)} s`;
  await eventually(() => isDetected(replicator, by), {
    timeoutMs: DETECTED_MS,
    everyMs: 5,
    says: 'health is red',
  });
  const red = since();
  await help();
  const account = await world.createAccount('behind');
  await untilGreen(replicator);
  const green = since();
  await insertTag(world.client, account, 'after');
  await eventually(async () => (await world.readNames(account)).includes('after'));
  figures.push(`${name}: red after ${red}, green after ${green}`);
}

async function loseByBudget(world: World, url: string, redis: TestRedis): Promise<void> {
  const admin = await connect(url);
  // The replicator applies nothing, so the slot stays where it is.
  await redis.pause();
  await world.client.query(`create table filler (text text)`);
  await eventually(
    async () => {
      await world.client.query(
        `insert into filler select repeat('x', 1000) from generate_series(1, 20000)`,
      );
      await admin.query('select pg_switch_wal()');
      await admin.query('checkpoint');
      const slot = await one(admin, 'select wal_status from pg_replication_slots');
      return slot['wal_status'] === 'lost';
    },
    { says: 'the slot is lost', timeoutMs: 60_000 },
  );
  await admin.end();
}

describe('a slot that is lost while the replicator runs', () => {
  afterAll(() => process.stdout.write(`a slot is lost\n${figures.join('\n')}\n`));

  test.each(['its WAL is removed for want of a budget', 'somebody drops it'])(
    '[R23] is detected within 5 s, and made anew with a new epoch, when %s',
    { timeout: 180_000 },
    async (name) => {
      const redis = await startRedis();
      const postgres = await startPostgres({
        conf: { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB' },
      });
      const world = await createWorld(await postgres.createDatabase(), redis.url);
      try {
        const { server_version: version } = await one(world.client, 'show server_version');
        const replicator = await world.start();
        await untilGreen(replicator);
        const before = (await world.control.readControl())?.epoch.id;
        const loss = { world, replicator, name: `Postgres ${String(version)}, ${name}` };
        if (name.startsWith('its WAL')) {
          await loseByBudget(world, postgres.url, redis);
          await recover({ ...loss, by: ['slot'] }, () => redis.resume());
        } else {
          await eventually(() =>
            world.client.query(
              `select pg_terminate_backend(active_pid), pg_sleep(0.02), pg_drop_replication_slot(slot_name)
               from pg_replication_slots where slot_name = $1`,
              [world.config.slot],
            ),
          );
          await recover({ ...loss, by: ['slot', 'leadership'] }, async () => undefined);
        }
        const state = await world.control.readControl();
        expect(state?.epoch.id).not.toBe(before);
        const reasons = (await replicator.metrics.epochChanges.get()).values;
        expect(reasons.map(({ labels }) => labels['reason'])).toContain(
          name.startsWith('its WAL') ? 'slot_lost' : 'slot_missing',
        );
      } finally {
        await world.close();
        await postgres.remove();
        await redis.stop();
      }
    },
  );
});
