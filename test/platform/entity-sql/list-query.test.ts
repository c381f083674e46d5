import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { contacts } from '../../../domain/entities/contacts.ts';
import { leads } from '../../../domain/entities/leads.ts';
import { ENTITIES } from '../../../domain/registry.ts';
import { boardKey, boardQuerySchema, parseBoardKey } from '../../../platform/entity-sql/board.ts';
import { containsPattern } from '../../../platform/entity-sql/conditions.ts';
import { parseInstant } from '../../../platform/entity-sql/instant.ts';
import { formatKeyset, parseKeyset } from '../../../platform/entity-sql/keyset.ts';
import { listKey, listQuerySchema, parseListKey } from '../../../platform/entity-sql/list-query.ts';

const LISTED = ENTITIES.filter((entity) => entity.list);
const refusedFields = (raw: Record<string, string>): unknown[] =>
  listQuerySchema(leads)
    .safeParse(raw)
    .error?.issues.map((issue) => issue.path[0] ?? issue.code) ?? [];

describe('listQuerySchema', () => {
  it('fills in what is absent', () => {
    for (const entity of LISTED) {
      const query = listQuerySchema(entity).parse({});
      expect(query).toMatchObject({
        page: 1,
        limit: 50,
        sort: entity.list?.sort,
        order: entity.list?.order,
        canonical: '',
      });
    }
  });

  it('hides archived leads and the trash until they are asked for', () => {
    expect(listQuerySchema(leads).parse({}).filters).toEqual({
      archived: { kind: 'flag', is: false },
      trash: { kind: 'flag', is: false },
    });
    expect(listQuerySchema(leads).parse({ archived: 'true' }).filters).toEqual({
      archived: { kind: 'flag', is: true },
      trash: { kind: 'flag', is: false },
    });
  });

  it('shows the whole trash, archived or not, until one of both is asked for', () => {
    const trash = { kind: 'flag', is: true };
    expect(listQuerySchema(leads).parse({ trash: 'true' })).toMatchObject({
      filters: { trash },
      canonical: 'trash=true',
    });
    expect(listQuerySchema(leads).parse({ trash: 'true' }).filters).not.toHaveProperty('archived');
    expect(listQuerySchema(leads).parse({ trash: 'true', archived: 'false' })).toMatchObject({
      filters: { trash, archived: { kind: 'flag', is: false } },
      canonical: 'archived=false&trash=true',
    });
    expect(listQuerySchema(leads).parse({ trash: 'true', archived: 'true' })).toMatchObject({
      filters: { trash, archived: { kind: 'flag', is: true } },
      canonical: 'archived=true&trash=true',
    });
  });

  it('refuses what it does not know and names the field', () => {
    expect(refusedFields({ bogus: '1' })).toEqual(['unrecognized_keys']);
    expect(refusedFields({ limit: '201' })).toEqual(['limit']);
    expect(refusedFields({ limit: '-1', page: '0' })).toEqual(['page', 'limit']);
    expect(refusedFields({ sort: 'password_hash' })).toEqual(['sort']);
    expect(refusedFields({ order: 'up' })).toEqual(['order']);
    expect(refusedFields({ status: 'open,closed' })).toEqual(['status']);
    expect(refusedFields({ created_from: '2026-02-30' })).toEqual(['created_from']);
    expect(refusedFields({ archived: 'yes' })).toEqual(['archived']);
    expect(refusedFields({ tag_ids: '1,x' })).toEqual(['tag_ids']);
    expect(refusedFields({ search: 'x'.repeat(201) })).toEqual(['search']);
    expect(refusedFields({ search: 'a\0b' })).toEqual(['search']);
    expect(refusedFields({ cursor: 'nonsense' })).toEqual(['cursor']);
  });

  it('refuses ids that a bigint or a number cannot hold', () => {
    for (const id of [
      '9007199254740992',
      '9223372036854775808',
      '0',
      '-1',
      '1e3',
      '1.5',
      ' ',
      '',
    ]) {
      expect(refusedFields({ stage_id: id })).toEqual(['stage_id']);
    }
    expect(refusedFields({ stage_id: '9007199254740991' })).toEqual([]);
  });

  it('takes a cursor only with the list, sort and order it came from, and not with a page', () => {
    const cursor = formatKeyset(
      { of: 'leads', sort: 'title', order: 'asc' },
      { value: 'Lead', id: 7 },
    );
    const foreign = formatKeyset(
      { of: 'contacts', sort: 'title', order: 'asc' },
      { value: 'Lead', id: 7 },
    );
    expect(refusedFields({ cursor: foreign, sort: 'title', order: 'asc' })).toEqual(['cursor']);
    expect(refusedFields({ cursor, sort: 'title', order: 'asc' })).toEqual([]);
    expect(refusedFields({ cursor, sort: 'title', order: 'desc' })).toEqual(['cursor']);
    expect(refusedFields({ cursor })).toEqual(['cursor']);
    expect(refusedFields({ cursor, sort: 'title', order: 'asc', page: '2' })).toEqual(['cursor']);
  });

  it('can be shown as JSON schema', () => {
    for (const entity of LISTED) {
      const json = z.toJSONSchema(listQuerySchema(entity), { io: 'input' });
      expect(json).toMatchObject({ type: 'object', additionalProperties: false });
      expect(Object.keys(json.properties ?? {})).toContain('limit');
    }
    expect(z.toJSONSchema(boardQuerySchema(), { io: 'input' }).properties).toHaveProperty(
      'pipeline_id',
    );
  });
});

describe('listKey', () => {
  it('is the same for queries that ask the same', () => {
    const key = (raw: Record<string, string>): string => listKey(listQuerySchema(leads).parse(raw));
    expect(key({ stage_id: '3, 2,3', search: ' a   b ', limit: '50', page: '1' })).toBe(
      key({ search: 'a b', archived: 'false', order: 'desc', stage_id: '2,3' }),
    );
    expect(key({ created_from: '2026-11-22T10:00:00+02:00' })).toBe(
      key({ created_from: '2026-11-22T08:00:00Z' }),
    );
    expect(key({ tag_ids: '1', tag_ids_match: 'all' })).toBe(key({ tag_ids: '1' }));
    expect(key({})).not.toBe(key({ limit: '20' }));
  });

  it('is parsed into the very query it was made from', () => {
    const text = fc.string({ maxLength: 30, unit: 'grapheme' });
    const raw = fc.record(
      {
        limit: fc.integer({ min: 1, max: 200 }).map(String),
        page: fc.integer({ min: 1, max: 10_000 }).map(String),
        search: text,
        source: text.filter((value) => value.replaceAll(',', '').trim() !== ''),
        stage_id: fc
          .uniqueArray(fc.integer({ min: 1, max: 1e9 }), { minLength: 1, maxLength: 5 })
          .map(String),
        assigned_to: fc.constantFrom('none', '1,none', '2'),
        tag_ids: fc
          .uniqueArray(fc.integer({ min: 1, max: 99 }), { minLength: 1, maxLength: 5 })
          .map(String),
        tag_ids_match: fc.constantFrom('any', 'all'),
        sort: fc.constantFrom('title', 'value', 'created_at'),
        order: fc.constantFrom('asc', 'desc'),
        archived: fc.constantFrom('true', 'false'),
        trash: fc.constantFrom('true', 'false'),
        updated_to: fc
          .date({ min: new Date(0), max: new Date('2100-01-01'), noInvalidDate: true })
          .map((date) => date.toISOString()),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(raw, (given) => {
        const parsed = listQuerySchema(leads).safeParse(given);
        fc.pre(parsed.success);
        expect(parseListKey(leads, listKey(parsed.data))).toEqual(parsed.data);
      }),
    );
  });

  it('is not taken from other texts', () => {
    expect(parseListKey(leads, 'board?')).toBeUndefined();
    expect(parseListKey(leads, 'list?nonsense=1')).toBeUndefined();
    expect(parseBoardKey('list?')).toBeUndefined();
  });

  it('of a board is parsed into the very query too', () => {
    const query = boardQuerySchema().parse({
      pipeline_id: '3',
      limit: '5',
      search: 'x',
      tag_ids: '2,1',
      order: 'desc',
    });
    expect(parseBoardKey(boardKey(query))).toEqual(query);
    expect(boardQuerySchema().safeParse({ stage_id: '1' }).success).toBe(false);
    expect(boardQuerySchema().safeParse({ pipeline_id: '9007199254740992' }).success).toBe(false);
  });
});

describe('parseKeyset', () => {
  it('reads what formatKeyset wrote, and throws at nothing', () => {
    const by = { of: 'leads', sort: 'title', order: 'asc' } as const;
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat(), (value, id) => {
        fc.pre(!value.includes('\0'));
        expect(parseKeyset(by, 'text', formatKeyset(by, { value, id }))).toEqual({ value, id });
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => void parseKeyset(by, 'text', text)));
  });

  it('refuses values that Postgres could not read', () => {
    const read = (kind: 'timestamp' | 'numeric' | 'int', value: string) => {
      const by = { of: 'leads', sort: 's', order: 'asc' } as const;
      return parseKeyset(by, kind, formatKeyset(by, { value, id: 1 }))?.value;
    };
    expect(read('timestamp', '2026-11-22 10:00:00.5+00')).toBeDefined();
    expect(read('timestamp', '2026-13-22 10:00:00+00')).toBeUndefined();
    expect(read('timestamp', 'now')).toBeUndefined();
    expect(read('numeric', '1.5')).toBe('1.5');
    expect(read('numeric', '-1e-7')).toBe('-1e-7');
    expect(read('numeric', '1; drop')).toBeUndefined();
    expect(read('int', '99999999999')).toBeUndefined();
  });
});

describe('parseInstant', () => {
  it('gives UTC with microseconds', () => {
    expect(parseInstant('2026-11-22')).toBe('2026-11-22T00:00:00.000000Z');
    expect(parseInstant('2026-11-22T10:00:00.123456-05:00')).toBe('2026-11-22T15:00:00.123456Z');
    expect(parseInstant('2026-11-22T10:00Z')).toBe('2026-11-22T10:00:00.000000Z');
    expect(parseInstant('0099-01-01')).toBe('0099-01-01T00:00:00.000000Z');
  });

  it('refuses days that are none, and what Postgres refuses', () => {
    for (const text of [
      '2026-02-29',
      '2026-13-01',
      '2026-00-10',
      '0000-01-01',
      '2026-11-22T24:00:00Z',
      '2026-11-22T10:00:60Z',
      '2026-11-22T10:00:00+16:00',
      '10000-01-01',
      'infinity',
      '',
      '2026-11-22T10:00:00.1234567Z',
      '0001-01-01T00:00:00+10:00',
    ]) {
      expect({ text, is: parseInstant(text) }).toEqual({ text, is: undefined });
    }
  });
});

it('containsPattern takes wildcards literally', () => {
  expect(containsPattern('100%_\\')).toBe('%100\\%\\_\\\\%');
});

it('sorts are columns that are never null: a keyset could not go on behind null', () => {
  for (const entity of LISTED) {
    for (const sort of entity.list?.sorts ?? [])
      expect(entity.columns[sort]?.nullable, `${entity.table}.${sort}`).toBe(false);
  }
  expect(contacts.list?.sorts).toContain('display_name');
});
