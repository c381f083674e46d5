import { readdir, readFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { Database } from '../../platform/postgres.ts';
import { FORM_TYPE, formOf, type Fields, type Row } from '../server/import-world.ts';
import { eventually } from '../support/services.ts';
import type { RunningRole } from '../support/spawn-role.ts';
import { openTruth, startModel, untilEqual } from './support/compare.ts';
import { startStack, type Stack, type TestAccount } from './support/stack.ts';

const ROWS = 100_000;
/** What a process may grow by while it reads a file of 100,000 rows, whose texts alone are some 10 MB. */
const GROWTH_MAX_BYTES = 200 * 1024 * 1024;
const LONG_MS = 900_000;

/** A list as companies have them: phones of two kinds, tags, a custom field, and a few rows that are no good. */
function bigFile(): Buffer {
  const rows = Array.from({ length: ROWS }, (_, n) => {
    const phone = n % 1_000 === 999 ? '12' : `9${String(10_000_000 + n * 7).slice(0, 8)}`;
    return `Persona ${n};${phone};p${n}@example.com;${n % 10 === 0 ? 'VIP,Lima' : ''};Distrito ${n % 40}`;
  });
  return Buffer.from(['Nombre;Teléfono;Correo;Etiquetas;Distrito', ...rows].join('\r\n'));
}

/** Resident bytes of a process, from the kernel. */
async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
}

describe('an import through the API and the ingest process', () => {
  let stack: Stack;
  let truth: Database;
  let ingest: RunningRole;
  let account: TestAccount;
  let directory: string;
  const environment: Record<string, string> = {};

  beforeAll(async () => {
    directory = await mkdtemp(join(inject('runDirectory'), 'imports-'));
    stack = await startStack({ more: { MEDIA_DIR: directory } });
    const url = new URL(stack.database.url);
    if (url.username === 'clarin_test_api') url.username = 'clarin_test_ingest';
    environment['DATABASE_URL'] = url.href;
    truth = openTruth(stack);
    account = stack.accounts[0];
    ingest = await stack.spawn('ingest', environment);
  }, 120_000);
  afterAll(async () => {
    await truth.close();
    await stack.close();
  });

  async function upload(bytes: Buffer, fields: Fields = {}): Promise<number> {
    const answer = await fetch(`${stack.api.url}/api/imports`, {
      method: 'POST',
      headers: { authorization: `Bearer ${account.token}`, 'content-type': FORM_TYPE },
      body: new Uint8Array(formOf(fields, { bytes })),
    });
    const body = (await answer.json()) as { data: { id: number } };
    expect([answer.status, body]).toMatchObject([202, { data: { state: 'pending' } }]);
    return body.data.id;
  }
  const read = async (id: number): Promise<Row> =>
    (await stack.request(account, `GET /api/imports/${id}`)).json['data'];
  const until = (id: number, isThere: (row: Row) => boolean): Promise<Row> =>
    eventually(
      async () => {
        const row = await read(id);
        return isThere(row) ? row : undefined;
      },
      { timeoutMs: LONG_MS, everyMs: 250, says: 'the import is so far' },
    );
  const isOver = ({ state }: Row): boolean => !['pending', 'running'].includes(state);

  it(
    'of 100,000 rows reaches every browser, in bounded memory, survives kill -9, and the same again changes nothing',
    async () => {
      const file = bigFile();
      const model = await startModel(stack, truth, account, [
        { table: 'imports' },
        { table: 'contacts' },
        { table: 'contact_tags' },
        { table: 'import_errors' },
      ]);
      const id = await upload(file);
      await until(id, (row) => row.processed_count >= 5_000);
      const before = await residentBytes(ingest.pid);
      await until(id, (row) => row.processed_count >= 30_000);
      ingest.kill('SIGKILL');
      await ingest.exited;
      ingest = await stack.spawn('ingest', environment);
      const resumed = await read(id);
      expect(resumed.state).toBe('running');
      let peak = 0;
      const done = await eventually(
        async () => {
          peak = Math.max(peak, await residentBytes(ingest.pid));
          const row = await read(id);
          return isOver(row) ? row : undefined;
        },
        { timeoutMs: LONG_MS, everyMs: 250, says: 'the import is over' },
      );
      expect(done).toMatchObject({
        state: 'done',
        processed_count: ROWS,
        created_count: ROWS - 100,
        updated_count: 0,
        unchanged_count: 0,
        failed_count: 100,
        processed_bytes: file.length,
      });
      expect(peak).toBeLessThan(before + GROWTH_MAX_BYTES);
      await untilEqual(model, truth, account.id, LONG_MS);
      expect(model.faults).toEqual([]);
      const progress = model.commits.filter(({ changes }) =>
        changes.some(({ table, key }) => table === 'imports' && key?.['id'] === id),
      );
      // A batch's rows and the count of them are one commit.
      expect(progress.length).toBeGreaterThanOrEqual(ROWS / 500);
      expect(progress.filter(({ origin }) => origin?.source === 'import').length).toBeGreaterThan(
        190,
      );
      const [people] = await stack.sql(
        `select count(*)::int as total, count(distinct phone)::int as phones from contacts where account_id = $1`,
        [account.id],
      );
      expect(people).toEqual({ total: ROWS - 100, phones: ROWS - 100 });

      const [mark] = await stack.sql(
        `select max(updated_at)::text as newest, max(xmin::text::bigint) as xid from contacts where account_id = $1`,
        [account.id],
      );
      const again = await upload(file);
      const same = await until(again, isOver);
      expect(same).toMatchObject({
        state: 'done',
        created_count: 0,
        updated_count: 0,
        unchanged_count: ROWS - 100,
        failed_count: 100,
      });
      const [after] = await stack.sql(
        `select max(updated_at)::text as newest, max(xmin::text::bigint) as xid from contacts where account_id = $1`,
        [account.id],
      );
      // Locking a row leaves its version as it is; writing it does not.
      expect(after).toEqual(mark);
      await untilEqual(model, truth, account.id, LONG_MS);
      model.close();
      // The files go when nobody needs them any more; a minute may pass until a worker looks.
      await eventually(async () => (await filesIn(directory)) === 0, {
        timeoutMs: 90_000,
        everyMs: 1_000,
        says: 'the store is empty',
      });
    },
    LONG_MS,
  );

  it('is refused while it is sent, and its connection serves the next request', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const send = (method: string, path: string, body?: Buffer): Promise<number> =>
      new Promise((resolve, reject) => {
        const asked = request(`${stack.api.url}${path}`, {
          agent,
          method,
          headers: {
            authorization: `Bearer ${account.token}`,
            ...(body ? { 'content-type': FORM_TYPE, 'content-length': body.length } : {}),
          },
        });
        asked.on('error', reject);
        asked.on('response', (response) => {
          response.resume();
          response.on('end', () => resolve(response.statusCode ?? 0));
        });
        asked.end(body);
      });
    const hostile = Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(2 ** 21, 7)]);
    expect(await send('POST', '/api/imports', formOf({}, { bytes: hostile }))).toBe(400);
    expect(await send('GET', '/api/imports')).toBe(200);
    agent.destroy();
    expect(await filesIn(directory)).toBe(0);
  });
});

async function filesIn(directory: string): Promise<number> {
  const found = await readdir(directory, { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).length;
}
