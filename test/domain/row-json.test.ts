import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { text, textArray, timestamp, id, json, numeric } from '../../domain/column.ts';
import { defineEntity } from '../../domain/entity.ts';
import { compileRowWriter, formatValue } from '../../domain/row-json.ts';

/** As Postgres prints an array of text: quoted where needed. */
function arrayLiteral(items: readonly (string | null)[]): string {
  const quote = (item: string | null): string =>
    item === null ? 'NULL' : `"${item.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  return `{${items.map(quote).join(',')}}`;
}

describe('text of Postgres to JSON', () => {
  it.each([
    ['id', '42', '42'],
    ['id', '9007199254740991', '9007199254740991'],
    ['id', '9007199254740993', '"9007199254740993"'],
    ['numeric', '1500.50', '1500.50'],
    ['numeric', '123456789012345678.25', '123456789012345678.25'],
    ['numeric', 'NaN', '"NaN"'],
    ['numeric', '-Infinity', '"-Infinity"'],
    ['numeric', '1e+300', '1e+300'],
    ['boolean', 't', 'true'],
    ['boolean', 'f', 'false'],
    ['timestamp', '2026-11-22 10:00:00+00', '"2026-11-22T10:00:00.000000Z"'],
    ['timestamp', '2026-11-22 10:00:00.5+00', '"2026-11-22T10:00:00.500000Z"'],
    ['timestamp', '12026-11-22 10:00:00.123456+00', '"12026-11-22T10:00:00.123456Z"'],
    ['timestamp', 'infinity', '"infinity"'],
    ['timestamp', '0044-03-15 00:00:00+00 BC', '"0044-03-15 00:00:00+00 BC"'],
    ['json', '{"a": [1, null]}', '{"a": [1, null]}'],
    ['text_array', '{}', '[]'],
    ['text_array', '{a,"b c",NULL,"NULL"}', '["a","b c",null,"NULL"]'],
    ['text_array', '[0:1]={a,b}', '["a","b"]'],
    ['text_array', '{{a,b},{c,d}}', '[["a","b"],["c","d"]]'],
  ] as const)('%s %s is %s', (kind, from, to) => {
    expect(formatValue(kind, from)).toBe(to);
  });

  it('writes every text and every array as JSON that reads back', () => {
    const strings = fc.string({ unit: 'binary' }).filter((value) => value.isWellFormed());
    fc.assert(
      fc.property(strings, fc.array(fc.option(strings)), (one, many) => {
        expect(JSON.parse(formatValue('text', one))).toBe(one);
        expect(JSON.parse(formatValue('text_array', arrayLiteral(many)))).toEqual(many);
      }),
    );
  });

  it('leaves null and unchanged values out and keeps the order of the declaration', () => {
    const thing = defineEntity({
      table: 'things',
      singular: 'thing',
      columns: {
        b: text({ nullable: true }),
        a: numeric(),
        t: timestamp(),
        j: json(),
        l: textArray(),
        r: id(),
      },
    });
    const write = compileRowWriter(thing, ['id', 'b', 'a', 'r']);
    expect(write(['1', null, '2.50', undefined])).toBe('{"id":1,"a":2.50}');
    expect(write([null, null, null, null])).toBe('{}');
  });
});

describe('declarations', () => {
  it('are refused when an identity may be null or a filter is unknown', () => {
    const broken = (more: object) => () =>
      defineEntity({
        table: 'things',
        singular: 'thing',
        columns: { a: text({ nullable: true }) },
        ...more,
      });
    expect(broken({ identity: ['account_id', 'id', 'a'] })).toThrow('may be null');
    expect(broken({ identity: ['id'] })).toThrow('starts with account_id');
    expect(broken({ feedFilters: ['x'] })).toThrow('not a published column');
    expect(broken({ table: 'Things' })).toThrow('snake_case');
  });
});
