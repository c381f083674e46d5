import { join } from 'node:path';
import { readdir } from 'node:fs/promises';
import { afterAll } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { compile, sql, type Sql } from '../../platform/sql.ts';
import { runAll } from '../../server/ingest/import-worker.ts';
import type { ImportMeans } from '../../server/ingest/run-import.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { startTestApi, type Answer, type Caller, type TestApi } from './support.ts';

export type Fields = Readonly<Record<string, string>>;
export type File = {
  bytes: string | Buffer;
  type?: string;
  filename?: string;
  /** Of the request. */
  headers?: Record<string, string>;
};

export type ImportWorld = {
  readonly api: TestApi;
  /** As the ingest process sees the database, with what it may do there and no more. */
  readonly means: ImportMeans;
  /** Texts of the statements of the worker since `statements.length = 0`, but for begin and commit. */
  readonly statements: string[];
  post(caller: { token: string }, path: string, fields: Fields, file: File): Promise<Answer>;
  /** Uploads, lets a worker carry it out, and gives the row as it is then. */
  importFile(caller: { token: string }, bytes: string | Buffer, fields?: Fields): Promise<Row>;
  errorsOf(
    caller: { token: string },
    id: number,
  ): Promise<{ line: number; field?: string; message: string }[]>;
  run(): Promise<number>;
  /** Files in the store of this test. */
  files(): Promise<string[]>;
};

// oxlint-disable-next-line no-explicit-any
export type Row = any;

const BOUNDARY = 'a-boundary';

export function formOf(
  fields: Fields,
  { bytes, type = 'text/csv', filename = 'people.csv' }: File,
): Buffer {
  const parts = Object.entries(fields).map(
    ([name, value]) =>
      `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
  );
  const head = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="${filename}"\r\ncontent-type: ${type}\r\n\r\n`;
  return Buffer.concat([
    Buffer.from(parts.join('') + head),
    Buffer.from(bytes),
    Buffer.from(`\r\n--${BOUNDARY}--\r\n`),
  ]);
}

export const FORM_TYPE = `multipart/form-data; boundary=${BOUNDARY}`;

/** The API and a worker's means, on a database and a store of their own. */
export async function startImportWorld(directory: string): Promise<ImportWorld> {
  const api = await startTestApi({ environment: { MEDIA_DIR: directory } });
  const log = createLog({ component: 'ingest', level: process.env['TEST_LOG'] ?? 'silent' });
  const url = new URL(api.config.databaseUrl);
  if (url.username === 'clarin_test_api') url.username = 'clarin_test_ingest';
  const database = createDatabase({
    url: url.href,
    applicationName: 'test ingest',
    max: 4,
    statementTimeoutMs: 10_000,
    log,
  });
  afterAll(() => database.close());
  const statements: string[] = [];
  const means = {
    database: counting(database, statements),
    media: api.media,
    log,
    metrics: createMetrics('test'),
  };
  const run = (): Promise<number> =>
    runAll(means, `test ${Math.random()}`, new AbortController().signal);
  const post: ImportWorld['post'] = async (caller, path, fields, file) => {
    const answer = await api.app.inject({
      method: 'POST',
      url: path,
      headers: {
        authorization: `Bearer ${caller.token}`,
        'content-type': FORM_TYPE,
        ...file.headers,
      },
      payload: formOf(fields, file),
    });
    return {
      status: answer.statusCode,
      headers: answer.headers as Answer['headers'],
      text: answer.body,
      body: answer.json(),
    };
  };
  return {
    api,
    means,
    statements,
    post,
    run,
    importFile: async (caller, bytes, fields = {}) => {
      const made = await post(caller, '/api/imports', fields, { bytes });
      if (made.status !== 202) throw new Error(`${made.status} ${made.text}`);
      await run();
      return (await api.ask(caller, 'GET', `/api/imports/${made.body.data.id}`)).body.data;
    },
    errorsOf: async (caller, id) =>
      (await api.ask(caller, 'GET', `/api/import_errors?import_id=${id}&limit=200`)).body.data,
    files: async () => {
      const found = await readdir(directory, { recursive: true, withFileTypes: true }).catch(
        () => [],
      );
      return found
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name));
    },
  };
}

function counting(database: Database, statements: string[]): Database {
  const note = (statement: Sql): void => void statements.push(compile(statement).text);
  return {
    ...database,
    transaction: (work, options) =>
      database.transaction(
        (tx) =>
          work({
            query: (statement, own) => {
              note(statement);
              return tx.query(statement, own);
            },
          }),
        options,
      ),
  };
}

let accounts = 0;

/** An account with nobody in it. */
export async function newAccount({ api }: ImportWorld): Promise<Caller> {
  const caller = await api.account(`new-${accounts++}`);
  const { accountId } = caller;
  await api.owner.query(sql`
    update public.imports set state = 'done', finished_at = now() where account_id = ${accountId}`);
  await api.owner.query(sql`delete from public.leads where account_id = ${accountId}`);
  await api.owner.query(sql`delete from public.chats where account_id = ${accountId}`);
  await api.owner.query(sql`delete from public.contacts where account_id = ${accountId}`);
  return caller;
}

/** Oldest first. */
export async function contactsOf({ api }: ImportWorld, caller: Caller): Promise<Row[]> {
  const answer = await api.ask(caller, 'GET', '/api/contacts?order=asc&limit=200');
  return answer.body.data;
}

export const countsOf = (row: Row) => ({
  state: row.state,
  processed: row.processed_count,
  created: row.created_count,
  updated: row.updated_count,
  unchanged: row.unchanged_count,
  failed: row.failed_count,
});

/** What `countsOf` says of an import that went through. */
export const counts = (created: number, updated: number, unchanged: number, failed: number) => ({
  state: 'done',
  processed: created + updated + unchanged + failed,
  created,
  updated,
  unchanged,
  failed,
});
