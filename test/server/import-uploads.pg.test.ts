import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import {
  contactsOf,
  newAccount,
  startImportWorld,
  type File,
  type ImportWorld,
} from './import-world.ts';
import type { Caller } from './support.ts';

let world: ImportWorld;
let one: Caller;

beforeAll(async () => {
  world = await startImportWorld(await mkdtemp(join(inject('runDirectory'), 'imports-')));
  one = await world.api.account('one');
});

describe('every way a file is written', () => {
  const cases: [string, Buffer, string, string][] = [
    ['UTF-8 with commas', Buffer.from('name,phone\nJosé Núñez,987654321'), 'utf-8', ','],
    [
      'UTF-8 with its mark',
      Buffer.from('\uFEFFname;phone\r\nJosé Núñez;987654321\r\n'),
      'utf-8',
      ';',
    ],
    [
      'Windows-1252 with semicolons',
      Buffer.from('name;phone\r\nJosé Núñez;987654321', 'latin1'),
      'windows-1252',
      ';',
    ],
    ['tabs and bare CR', Buffer.from('name\tphone\rJosé Núñez\t987654321\r'), 'utf-8', '\t'],
  ];
  test.each(cases)('%s is understood', async (_says, bytes, encoding, separator) => {
    const caller = await newAccount(world);
    const done = await world.importFile(caller, bytes);
    expect(done).toMatchObject({ encoding, separator, created_count: 1 });
    expect((await contactsOf(world, caller))[0]).toMatchObject({
      name: 'José Núñez',
      phone: '51987654321',
    });
  });
});

describe('a preview', () => {
  test('shows what would be understood, with the problems of each row, and stores nothing', async () => {
    const files = (await world.files()).length;
    const answer = await world.post(
      one,
      '/api/imports/preview',
      { separator: ';' },
      {
        bytes: 'Nombre;Teléfono;Talla\nAna;987654321;M\nLuis;1;\n',
      },
    );
    expect(answer.status).toBe(200);
    expect(answer.body.data).toEqual({
      encoding: 'utf-8',
      separator: ';',
      header: ['Nombre', 'Teléfono', 'Talla'],
      mapping: {
        columns: [
          { index: 0, field: 'name' },
          { index: 1, field: 'phone' },
          { index: 2, field: 'custom_fields.Talla' },
        ],
      },
      rows: [
        {
          line: 2,
          contact: { name: 'Ana', phone: '51987654321' },
          custom_fields: { Talla: 'M' },
          tags: [],
          problems: [],
        },
        {
          line: 3,
          contact: { name: 'Luis', phone: '1' },
          custom_fields: {},
          tags: [],
          problems: [{ field: 'phone', message: 'A phone number has 7 to 15 digits.' }],
        },
      ],
    });
    expect(await world.files()).toHaveLength(files);
  });

  test('of a long file shows its first twenty rows', async () => {
    const bytes = ['name', ...Array.from({ length: 40_000 }, (_, n) => `Person ${n}`)].join('\n');
    const answer = await world.post(one, '/api/imports/preview', {}, { bytes });
    expect(answer.body.data.rows).toHaveLength(20);
  });
});

describe('a hostile or mistaken upload is refused with a sentence, and nothing of it is stored:', () => {
  const csv = 'name,phone\nAna,987654321';
  const zip = Buffer.concat([Buffer.from('PK\x03\x04'), Buffer.alloc(2_000, 7)]);
  const cases: [string, Record<string, string>, File, RegExp][] = [
    ['a zip that calls itself CSV', {}, { bytes: zip }, /no text but application\/zip/],
    ['gzip', {}, { bytes: Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1]) }, /NUL|UTF-16/],
    ['another type', {}, { bytes: csv, type: 'application/zip' }, /is of type application\/zip/],
    ['a NUL', {}, { bytes: 'name\nA\0na' }, /NUL/],
    ['UTF-16', {}, { bytes: Buffer.from('\uFEFFname\nAna', 'utf16le') }, /UTF-16/],
    ['an open quote', {}, { bytes: 'name\n"Ana' }, /never closed/],
    ['nothing at all', {}, { bytes: '' }, /is empty/],
    ['titles without end', {}, { bytes: 'n'.repeat(200_000) }, /64 KiB|longer/],
    ['a mapping that is no JSON', { mapping: '{' }, { bytes: csv }, /body.mapping: is no JSON/],
    [
      'a mapping to nowhere',
      { mapping: '{"columns":[{"index":9,"field":"name"}]}' },
      { bytes: csv },
      /names column 9/,
    ],
    [
      'a mapping to what cannot be set',
      { mapping: '{"columns":[{"index":0,"field":"kommo_id"}]}' },
      { bytes: csv },
      /not a column|is not a/,
    ],
    ['titles nobody knows, all blank', {}, { bytes: ' , \nAna,1' }, /body.mapping: is needed/],
    ['an encoding there is not', { encoding: 'utf-16' }, { bytes: csv }, /body.encoding/],
    ['a field there is not', { dryrun: 'true' }, { bytes: csv }, /dryrun/],
    ['a country in small letters', { country: 'pe' }, { bytes: csv }, /body.country/],
  ];
  test.each(cases)('%s', async (_says, fields, file, sentence) => {
    const files = (await world.files()).length;
    for (const path of ['/api/imports', '/api/imports/preview']) {
      const answer = await world.post(one, path, fields, file);
      expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
      expect(answer.body.error).toMatch(sentence);
    }
    expect(await world.files()).toHaveLength(files);
  });

  test('a body of a gigabyte, by what it says of itself', async () => {
    const files = (await world.files()).length;
    const answer = await world.post(
      one,
      '/api/imports',
      {},
      { bytes: csv, headers: { 'content-length': String(2 ** 30) } },
    );
    expect([answer.status, answer.body.code]).toEqual([413, 'too_large']);
    expect(await world.files()).toHaveLength(files);
  });

  test('a field behind the file, which would not have been heeded', async () => {
    const files = (await world.files()).length;
    const bytes = `name\nAna\r\n--a-boundary\r\ncontent-disposition: form-data; name="dry_run"\r\n\r\ntrue`;
    const answer = await world.post(one, '/api/imports', {}, { bytes });
    expect(answer.status).toBe(400);
    expect(answer.body.error).toContain('comes last');
    expect(await world.files()).toHaveLength(files);
  });

  test('JSON', async () => {
    const answer = await world.api.ask(one, 'POST', '/api/imports', { body: { file: 'name' } });
    expect(answer.status).toBe(400);
  });
});
