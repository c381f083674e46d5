import { expect, test } from 'vitest';
import { exitCodeOf } from '../../platform/lifecycle.ts';
import { createTestDatabase } from '../support/services.ts';
import { startHalfOpenProxy } from './half-open-proxy.ts';
import { createWorld, insertTag, untilGreen } from './running.ts';

test(
  '[R25] a half-open replication connection ends the process, to be started again',
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
      const error = await replicator.fatal;
      expect(error).toMatchObject({ code: 'replication_stuck' });
      expect(exitCodeOf(error)).toBe(75);
      expect(await world.readNames(account)).toEqual([]);
    } finally {
      await world.close();
      await proxy.stop();
    }
  },
);
