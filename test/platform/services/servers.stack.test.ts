import { existsSync } from 'node:fs';
import { mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import { describe, expect, inject, it } from 'vitest';
import { ClarinError } from '../../../domain/errors.ts';
import { startEmbeddedPostgres } from '../../../platform/services/embedded-postgres.ts';
import { findFreePort, isPortFree } from '../../../platform/services/ports.ts';
import { findPostgresBinaries } from '../../../platform/services/postgres-binaries.ts';
import { findRedis } from '../../../platform/services/redis-binary.ts';
import { createTestDatabase, startPostgres, startRedis } from '../../support/services.ts';

async function query(url: string, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

describe('a Postgres of ours', () => {
  it('has our postgres.conf, and letters beyond ASCII, in both cases and for searching', async () => {
    const database = await createTestDatabase();
    const rows = await query(
      database.ownerUrl,
      `select current_setting('wal_level') as wal_level, lower('ÁÑ') as lower,
        cardinality(show_trgm('ñññ')) as trigrams`,
    );
    expect(rows).toEqual([{ wal_level: 'logical', lower: 'áñ', trigrams: 4 }]);
    await database.drop();
  });

  it('recovers what was committed before all its processes were killed', async () => {
    const server = await startPostgres();
    await query(server.url, 'create table kept (id int)');
    await query(server.url, 'insert into kept values (7)');
    await server.kill();
    await server.start();
    expect(await query(server.url, 'select id from kept')).toEqual([{ id: 7 }]);
    await server.remove();
  });

  it('starts though its lock file names a process that is somebody else by now', async () => {
    const server = await startPostgres();
    const [row] = await query(server.url, `select current_setting('data_directory') as directory`);
    const lock = join(String(row?.['directory']), 'postmaster.pid');
    const text = await readFile(lock, 'utf8');
    await server.kill();
    await writeFile(lock, text.replace(/^\d+/, String(process.pid)));
    await server.start();
    expect(await query(server.url, 'select 1 as one')).toEqual([{ one: 1 }]);
    await server.remove();
  });

  it('says why it does not start', async () => {
    const directory = await mkdtemp(join(inject('runDirectory'), 'refused-'));
    const start = startEmbeddedPostgres({
      ...inject('postgres'),
      user: undefined,
      directory: join(directory, 'data'),
      port: await findFreePort(),
      password: undefined,
      logFile: join(directory, 'log'),
      settings: { no_such_setting: 'on' },
    });
    await expect(start).rejects.toThrow(ClarinError);
    await expect(start).rejects.toThrow(/no_such_setting|root/);
  });

  it('is refused in words when PG_BIN names no Postgres', async () => {
    const find = findPostgresBinaries({
      given: '/nowhere',
      cacheDirectory: '/nowhere',
      user: undefined,
    });
    await expect(find).rejects.toThrow(/PG_BIN/);
  });
});

describe('a Redis of ours', () => {
  it('evicts nothing, saves nothing and starts again empty', async () => {
    const server = await startRedis();
    const redis = new Redis(server.url);
    redis.on('error', () => undefined);
    expect(await redis.config('GET', 'maxmemory-policy')).toEqual([
      'maxmemory-policy',
      'noeviction',
    ]);
    expect(await redis.config('GET', 'save')).toEqual(['save', '']);
    await redis.set('key', 'value');
    await server.restart();
    const again = new Redis(server.url);
    expect(await again.dbsize()).toBe(0);
    redis.disconnect();
    again.disconnect();
    await server.stop();
    expect(await isPortFree('127.0.0.1', server.port)).toBe(true);
  });

  it('answers nothing while it is paused, and goes on afterwards', async () => {
    const server = await startRedis();
    const redis = new Redis(server.url);
    await redis.ping();
    await server.pause();
    let answered = false;
    const pong = redis.ping().then(() => (answered = true));
    const asked = fetch(`http://127.0.0.1:${server.port}`, { signal: AbortSignal.timeout(200) });
    await expect(asked).rejects.toThrow(/timeout/);
    expect(answered).toBe(false);
    await server.resume();
    await pong;
    redis.disconnect();
    await server.stop();
  });

  it.runIf(existsSync('/usr/bin/apt-get'))(
    'comes from packages where no program is on PATH',
    async () => {
      const cacheDirectory = await mkdtemp(join(inject('runDirectory'), 'packages-'));
      // The tools of the packages, without anything called redis-server.
      const tools = await mkdtemp(join(inject('runDirectory'), 'tools-'));
      for (const tool of ['apt-get', 'apt-cache', 'dpkg-deb', 'tar', 'sh', 'rm']) {
        const path = ['/usr/bin', '/bin']
          .map((each) => join(each, tool))
          .find((each) => existsSync(each));
        if (path !== undefined) await symlink(path, join(tools, tool));
      }
      const environment = { ...process.env, PATH: tools };
      // Without a network there is nothing to download: then it has to say how to get one.
      const found = await findRedis({ environment, cacheDirectory }).catch(
        (error: unknown) => error,
      );
      if (found instanceof Error) expect(found.message).toMatch(/apt-get install redis-server/);
      else
        expect(found).toMatchObject({
          kind: 'program',
          path: join(cacheDirectory, 'redis/usr/bin/redis-server'),
        });
    },
  );

  it('is refused in words where there is none', async () => {
    const environment = { PATH: '/nowhere' };
    const found = findRedis({ environment, cacheDirectory: '/nowhere' });
    await expect(found).rejects.toThrow(/^There is no Redis here .*REDIS_URL/);
  });
});
