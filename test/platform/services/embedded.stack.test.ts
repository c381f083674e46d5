import { expect, it } from 'vitest';
import { createTestDatabase, startPostgres, startRedis } from '../../support/services.ts';
import pg from 'pg';
it('a', async () => {
  const db = await createTestDatabase();
  const c = new pg.Client({ connectionString: db.url }); await c.connect();
  expect((await c.query('select current_database() as d')).rows[0].d).toBe(db.name);
  await c.end();
  await db.drop();
});
it('b', async () => {
  const r = await startRedis(); await r.pause(); await r.resume(); await r.restart(); await r.stop(); await r.stop();
});
it('c', async () => {
  const p = await startPostgres({ conf: { wal_sender_timeout: '5s' } });
  const db = await p.createDatabase();
  await p.restart(); await p.kill(); await p.start();
  await db.drop(); await p.remove();
});
