import { expect, test, vi } from 'vitest';
import { exitCodeOf } from '../../platform/lifecycle.ts';
import { createTestDatabase, eventually } from '../support/services.ts';
import { startHalfOpenProxy } from './half-open-proxy.ts';
import { createWorld, insertTag, untilGreen } from './running.ts';

test(
  '[R25] a half-open replication connection ends the process, to be started again, and wedges nothing',
  { timeout: 60_000 },
  async () => {
    const database = await createTestDatabase();
    const proxy = await startHalfOpenProxy(database.replicationUrl);
    const world = await createWorld({ ...database, replicationUrl: proxy.url });
    try {
      await world.client.query(`alter database ${database.name} set wal_sender_timeout = '4s'`);
      const account = await world.createAccount('acme');
      const replicator = await world.start();
      await untilGreen(replicator);
      proxy.freeze();
      await insertTag(world.client, account, 'unseen');
      // On a busy machine the leadership's own checks may end the attempt first: then another one reads on.
      const readsOn = eventually(async () => (await world.readNames(account)).includes('unseen'), {
        timeoutMs: 50_000,
      }).then(
        () => 'reads on',
        () => 'wedged',
      );
      const outcome = await Promise.race([replicator.fatal.then(exitCodeOf), readsOn]);
      expect([75, 'reads on']).toContain(outcome);
    } finally {
      await world.close();
      await proxy.stop();
    }
  },
);

test(
  '[R25] a wall clock that is put back by an hour hides no dead stream',
  { timeout: 60_000 },
  async () => {
    const database = await createTestDatabase();
    const proxy = await startHalfOpenProxy(database.replicationUrl);
    const world = await createWorld({ ...database, replicationUrl: proxy.url });
    const now = Date.now.bind(Date);
    try {
      const replicator = await world.start();
      await untilGreen(replicator);
      vi.spyOn(Date, 'now').mockImplementation(() => now() - 3_600_000);
      proxy.freeze();
      const isLate = async (): Promise<boolean> =>
        (await replicator.health()).checks.some((check) => check.name === 'heartbeat' && !check.ok);
      await eventually(isLate, { says: 'health says that no heartbeat comes back' });
    } finally {
      vi.restoreAllMocks();
      await world.close();
      await proxy.stop();
    }
  },
);
