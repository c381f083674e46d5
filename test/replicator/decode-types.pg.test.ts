import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import {
  boolean,
  id,
  int,
  json,
  numeric,
  text,
  textArray,
  timestamp,
} from '../../domain/column.ts';
import { defineEntity, publishedColumns } from '../../domain/entity.ts';
import { compileRowWriter } from '../../domain/row-json.ts';
import { connectClient } from '../../platform/postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/services.ts';
import { connect, createSlotBy, one, tail, type Tail } from './support.ts';

/** A table of every type in use and of the hostile ones; its declaration reads the latter as text. */
const samples = defineEntity({
  table: 'samples',
  singular: 'sample',
  columns: {
    number: int({ nullable: true }),
    large: id({ nullable: true }),
    amount: numeric({ nullable: true, pgType: 'numeric' }),
    ratio: numeric({ nullable: true, pgType: 'double precision' }),
    flag: boolean({ nullable: true }),
    words: text({ nullable: true }),
    moment: timestamp({ nullable: true }),
    fields: json({ nullable: true }),
    list: textArray({ nullable: true }),
    padded: text({ nullable: true, pgType: 'character(6)' }),
    mood: text({ nullable: true, pgType: 'mood' }),
    code: text({ nullable: true, pgType: 'code' }),
    span: text({ nullable: true, pgType: 'interval' }),
    bytes: text({ nullable: true, pgType: 'bytea' }),
    'it"s ✓': text({ nullable: true }),
  },
});

const TABLE = `
  set search_path to public;
  create type mood as enum ('ok', 'it''s "fine"', 'naïve ✓');
  create domain code as text check (value <> '');
  create table samples (
    id bigint generated always as identity primary key, account_id bigint not null,
    number integer, large bigint, amount numeric, ratio double precision, flag boolean, words text,
    moment timestamptz, fields jsonb, list text[], padded char(6), mood mood, code code, span interval, bytes bytea,
    "it""s ✓" text,
    created_at timestamptz not null default now(), updated_at timestamptz not null default now());
  create unique index samples_identity on samples (account_id, id);
  alter table samples replica identity using index samples_identity;
  create publication samples for table samples;`;

/** Values as SQL writes them, and the JSON they must become. */
const CASES: readonly [column: string, literal: string, json: string | undefined][] = [
  ['number', '-2147483648', '-2147483648'],
  ['large', '9007199254740991', '9007199254740991'],
  ['large', '9007199254740993', '"9007199254740993"'],
  ['amount', `'NaN'`, '"NaN"'],
  ['amount', `'Infinity'`, '"Infinity"'],
  ['amount', '12345678901234.50', '12345678901234.50'],
  ['ratio', '0.1', '0.1'],
  ['ratio', `'-Infinity'`, '"-Infinity"'],
  ['ratio', '1e300', '1e+300'],
  ['flag', 'false', 'false'],
  [
    'words',
    `E'\\\\000 \\\\x00 \\t " \\\\ 👩‍👧 \\u2028'`,
    JSON.stringify('\\000 \\x00 \t " \\ 👩‍👧 \u2028'),
  ],
  ['words', `''`, '""'],
  ['moment', `'2026-03-04 05:06:07.000001+02'`, '"2026-03-04T03:06:07.000001Z"'],
  ['moment', `'infinity'`, '"infinity"'],
  ['moment', `'0044-03-15 00:00:00+00 BC'`, '"0044-03-15 00:00:00+00 BC"'],
  ['fields', `'{"b": [1, null], "a": "ü\\u0001"}'`, `{"a": "ü\\u0001", "b": [1, null]}`],
  [
    'list',
    `array['a', null, 'NULL', '', 'q"{},\\\\']`,
    JSON.stringify(['a', null, 'NULL', '', 'q"{},\\\\']),
  ],
  ['list', `'{}'`, '[]'],
  ['padded', `'ab'`, '"ab    "'],
  ['mood', `'it''s "fine"'`, JSON.stringify(`it's "fine"`)],
  ['code', `'naïve ✓'`, '"naïve ✓"'],
  ['span', `'1 year 2 days 03:04:05.6'`, '"1 year 2 days 03:04:05.6"'],
  ['bytes', `'\\x00ff'`, JSON.stringify('\\x00ff')],
  ['it"s ✓', `'quoted'`, '"quoted"'],
  ['words', 'null', undefined],
];

const HOSTILE = [
  `timezone = 'Asia/Kathmandu'`,
  `datestyle = 'German, DMY'`,
  `intervalstyle = 'sql_standard'`,
  `bytea_output = 'escape'`,
  `extra_float_digits = -15`,
];

let database: TestDatabase;
let client: pg.Client;
let decoded: Tail;

beforeAll(async () => {
  database = await createTestDatabase();
  client = await connect(database.ownerUrl);
  await client.query(TABLE);
  for (const setting of HOSTILE)
    await client.query(`alter database ${database.name} set ${setting}`);
  await createSlotBy(client, database.name);
  decoded = tail({
    url: database.replicationUrl,
    slot: database.name,
    publication: 'samples',
    entities: [samples],
  });
  await decoded.stream.started;
});

afterAll(async () => {
  await decoded.stream.stop();
  await client.end();
  await database.drop();
});

describe('values under hostile database settings', () => {
  test.each(CASES)('%s %s becomes %s', async (column, literal, json) => {
    await client.query(
      `insert into samples (account_id, "${column.replaceAll('"', '""')}") values (1, ${literal})`,
    );
    const [transaction] = await decoded.settle(client);
    const row = transaction?.commits[0]?.changes[0]?.json ?? '';
    const name = JSON.stringify(column);
    if (json === undefined) expect(row).not.toContain(name);
    else expect(row).toContain(`${name}:${json},"created_at"`);
    expect(() => JSON.parse(row) as unknown).not.toThrow();
  });

  test('[R5] the row in the stream is byte for byte the row a query shows', async () => {
    await client.query('truncate samples');
    for (const [column, literal] of CASES) {
      await client.query(
        `insert into samples (account_id, "${column.replaceAll('"', '""')}") values (1, ${literal})`,
      );
    }
    const transactions = await decoded.settle(client);
    const streamed = transactions.flatMap(
      (one) => one.commits[0]?.changes.filter((c) => c.op === 'insert') ?? [],
    );
    const columns = publishedColumns(samples);
    const write = compileRowWriter(samples, columns);
    const reader = await connectClient({ url: database.url, applicationName: 'reader' });
    await client.query('grant select on samples to public');
    const names = columns.map((name) => `"${name.replaceAll('"', '""')}"`).join(', ');
    const { rows } = await reader.query<Record<string, string | null>>(
      `select ${names} from samples order by id`,
    );
    await reader.end();
    expect(rows).toHaveLength(CASES.length);
    rows.forEach((row, index) => {
      const text = write(columns.map((name) => row[name]));
      expect(streamed[index]?.json).toBe(
        `{"table":"samples","op":"insert","key":{"id":${row['id']}},"row":${text}}`,
      );
    });
    const plain = await connect(database.ownerUrl);
    expect((await one(plain, 'show timezone'))['TimeZone']).toBe('Asia/Kathmandu');
    await plain.end();
  });
});

describe('a table that changes under the stream', () => {
  test('[R24] a renamed column ends the stream with the reason instead of feeding half rows', async () => {
    await client.query('alter table samples rename column number to digits');
    await client.query('insert into samples (account_id) values (1)');
    await expect(decoded.stream.ended).rejects.toMatchObject({
      code: 'replication_drift',
      message:
        'public.samples: column number is not published; public.samples: column digits is not declared',
    });
  });
});
