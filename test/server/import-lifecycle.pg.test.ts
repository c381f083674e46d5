import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { claimImport } from '../../server/commands/lease-import.ts';
import { removeMedia } from '../../server/ingest/remove-media.ts';
import { runImport } from '../../server/ingest/run-import.ts';
import {
  contactsOf,
  counts,
  countsOf,
  newAccount,
  startImportWorld,
  type ImportWorld,
  type Row,
} from './import-world.ts';
import type { Caller } from './support.ts';

let world: ImportWorld;
let one: Caller;
let two: Caller;

beforeAll(async () => {
  world = await startImportWorld(await mkdtemp(join(inject('runDirectory'), 'imports-')));
  one = await world.api.account('one');
  two = await world.api.account('two');
  // What the fixture left behind is no file of anybody's.
  await world.api.owner.query(sql`update public.imports set state = 'done', finished_at = now()`);
});

describe('a file that turns out to be broken further on', () => {
  test('is imported up to there, and its import says the line', async () => {
    const caller = await newAccount(world);
    const rows = Array.from(
      { length: 3_000 },
      (_, n) => `Person ${n},51966${String(n).padStart(6, '0')}`,
    );
    const done = await world.importFile(
      caller,
      ['name,phone', ...rows, '"open,1', 'x,2'].join('\n'),
    );
    expect(done.state).toBe('failed');
    expect(done.error).toContain('line 3002 is never closed');
    expect(done.created_count).toBeGreaterThanOrEqual(2_500);
    expect(done.processed_count).toBe(done.created_count);
  });
});

describe('the life of an import', () => {
  const file = [
    'name,phone',
    ...Array.from({ length: 1_500 }, (_, n) => `Person ${n},51977${String(n).padStart(6, '0')}`),
  ].join('\n');

  async function upload(caller: Caller): Promise<number> {
    return (await world.post(caller, '/api/imports', {}, { bytes: file })).body.data.id;
  }
  const read = async (caller: Caller, id: number): Promise<Row> =>
    (await world.api.ask(caller, 'GET', `/api/imports/${id}`)).body.data;
  const claim = async (worker: string) =>
    (await world.means.database.transaction((tx) => claimImport(tx, worker))).value;

  test('ends with its file gone from the store', async () => {
    const caller = await newAccount(world);
    await upload(caller);
    await world.run();
    await removeMedia(world.means);
    expect(await world.files()).toEqual([]);
  });

  test('is cancelled before it begins: nothing is written, and once more is no fault', async () => {
    const caller = await newAccount(world);
    const id = await upload(caller);
    const cancel = () => world.api.ask(caller, 'POST', `/api/imports/${id}/cancel`);
    const cancelled = await cancel();
    expect([cancelled.status, cancelled.body.data.state]).toEqual([200, 'cancelled']);
    expect((await cancel()).body.data.updated_at).toBe(cancelled.body.data.updated_at);
    await world.run();
    expect(await contactsOf(world, caller)).toEqual([]);
    await removeMedia(world.means);
    expect(await world.files()).toEqual([]);
    const over = await world.importFile(caller, 'name\nAna');
    expect((await world.api.ask(caller, 'POST', `/api/imports/${over.id}/cancel`)).status).toBe(
      409,
    );
  });

  test('is cancelled on the way: what was written stays, and no batch follows', async () => {
    const caller = await newAccount(world);
    const id = await upload(caller);
    const claimed = await claim('slow');
    expect(claimed?.id).toBe(id);
    let batches = 0;
    const database = {
      ...world.means.database,
      transaction: async (...given: Parameters<typeof world.means.database.transaction>) => {
        const done = await world.means.database.transaction(...given);
        if (++batches === 1) await world.api.ask(caller, 'POST', `/api/imports/${id}/cancel`);
        return done;
      },
    } as typeof world.means.database;
    if (claimed)
      await runImport({ ...world.means, database }, claimed, new AbortController().signal);
    expect(await read(caller, id)).toMatchObject({
      state: 'cancelled',
      created_count: 500,
      processed_count: 500,
    });
    const [total] = await world.api.owner.query(sql`
      select count(*) as total from public.contacts where account_id = ${caller.accountId}`);
    expect(total?.['total']).toBe('500');
  });

  test('goes to another worker when its lease is over, and the first one writes nothing more', async () => {
    const caller = await newAccount(world);
    const id = await upload(caller);
    const slow = await claim('slow');
    expect(await claim('other')).toBeUndefined();
    await world.api.owner.query(sql`update private.import_leases set expires_at = now()`);
    const next = await claim('other');
    expect(next?.id).toBe(id);
    if (slow) await runImport(world.means, slow, new AbortController().signal);
    expect(await read(caller, id)).toMatchObject({ state: 'running', processed_count: 0 });
    if (next) await runImport(world.means, next, new AbortController().signal);
    expect(countsOf(await read(caller, id))).toEqual(counts(1_500, 0, 0, 0));
  });

  test('goes on where a worker that was told to stop left it', async () => {
    const caller = await newAccount(world);
    const id = await upload(caller);
    const claimed = await claim('stopped');
    const stopping = new AbortController();
    let batches = 0;
    const database = {
      ...world.means.database,
      transaction: async (...given: Parameters<typeof world.means.database.transaction>) => {
        const done = await world.means.database.transaction(...given);
        if (++batches === 1) stopping.abort();
        return done;
      },
    } as typeof world.means.database;
    if (claimed) await runImport({ ...world.means, database }, claimed, stopping.signal);
    expect(await read(caller, id)).toMatchObject({ state: 'running', processed_count: 500 });
    expect(await world.run()).toBe(1);
    expect(countsOf(await read(caller, id))).toEqual(counts(1_500, 0, 0, 0));
  });

  test('whose file is gone fails and says so', async () => {
    const caller = await newAccount(world);
    const id = await upload(caller);
    const [row] = await world.api.owner.query(
      sql`select object_key from public.imports where id = ${id}`,
    );
    await world.means.media.delete(row?.['object_key'] ?? '');
    await world.run();
    expect(await read(caller, id)).toMatchObject({
      state: 'failed',
      error: 'the file is no longer in the store',
    });
  });

  test('is of its account alone, and for whoever may see contacts', async () => {
    const id = await upload(one);
    expect((await world.api.ask(two, 'GET', `/api/imports/${id}`)).status).toBe(404);
    expect((await world.api.ask(two, 'POST', `/api/imports/${id}/cancel`)).status).toBe(404);
    const token = await world.api.tokenOf(one, ['leads']);
    expect((await world.post({ token }, '/api/imports', {}, { bytes: file })).status).toBe(403);
    expect((await world.api.ask({ token }, 'POST', `/api/imports/${id}/cancel`)).status).toBe(403);
    await world.api.ask(one, 'POST', `/api/imports/${id}/cancel`);
  });

  test('with an Idempotency-Key is one import however often it is sent', async () => {
    const caller = await newAccount(world);
    const headers = { 'idempotency-key': 'the-list-of-May' };
    const before = await world.api.ask(caller, 'GET', '/api/imports');
    const first = await world.post(caller, '/api/imports', {}, { bytes: file, headers });
    const again = await world.post(caller, '/api/imports', {}, { bytes: file, headers });
    expect(first.status, first.text).toBe(202);
    expect(again.body).toEqual(first.body);
    const wish = await world.post(
      caller,
      '/api/imports',
      { dry_run: 'true' },
      { bytes: file, headers },
    );
    expect(wish.body.code).toBe('idempotency_mismatch');
    const list = await world.api.ask(caller, 'GET', '/api/imports');
    expect(list.body.total).toBe(before.body.total + 1);
    await world.run();
    await removeMedia(world.means);
    expect(await world.files()).toEqual([]);
  });
});
