import type { ColumnKind } from './column.ts';
import type { Entity } from './entity.ts';

/**
 * The one place where Postgres' text becomes JSON. REST reads columns as text and the write-ahead log brings
 * the same text (both sessions fix TimeZone, DateStyle, IntervalStyle, bytea_output and extra_float_digits), so
 * a row is byte for byte the same in both. Rules, by kind:
 * - null is left out of the row;
 * - id, int, numeric: the digits as they are; what JSON or a double cannot hold (NaN, Infinity, an integer
 *   beyond 2^53) is a string, never a wrong number;
 * - timestamp: RFC 3339, UTC, six digits of a second; infinity and years BC stay text;
 * - json: as stored; boolean, text, arrays as one expects.
 */
export function formatValue(kind: ColumnKind, text: string): string {
  switch (kind) {
    case 'id':
    case 'int':
    case 'numeric':
      return formatNumber(text);
    case 'boolean':
      return text === 't' || text === 'true' ? 'true' : 'false';
    case 'timestamp':
      return JSON.stringify(formatTimestamp(text));
    case 'json':
      return text;
    case 'text_array':
      return formatArray(text, JSON.stringify);
    case 'id_array':
      return formatArray(text, formatNumber);
    case 'text':
    case 'date':
      return JSON.stringify(text);
    default:
      return kind satisfies never;
  }
}

const INTEGER = /^-?\d+$/;
const NUMBER = /^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/;

function formatNumber(text: string): string {
  if (text.length <= 15 && NUMBER.test(text)) return text;
  if (INTEGER.test(text)) return Number.isSafeInteger(Number(text)) ? text : `"${text}"`;
  return NUMBER.test(text) ? text : `"${text}"`;
}

const TIMESTAMP = /^(\d{4,})-(\d\d)-(\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\+00$/;

/** `2026-11-22 10:00:00.5+00` to `2026-11-22T10:00:00.500000Z`; other text (infinity, BC) is returned as it is. */
export function formatTimestamp(text: string): string {
  const match = TIMESTAMP.exec(text);
  if (!match) return text;
  const micros = (match[5] ?? '').padEnd(6, '0');
  return `${match[1]}-${match[2]}-${match[3]}T${match[4]}.${micros}Z`;
}

/** A Postgres array literal to JSON, nested ones included. https://www.postgresql.org/docs/current/arrays.html */
function formatArray(text: string, format: (item: string) => string): string {
  // A lower bound other than 1 is written in front: [0:1]={a,b}.
  let at = text.indexOf('{');
  const item = (): string => {
    if (text[at] === '"') {
      let value = '';
      for (at++; text[at] !== '"'; at++) {
        if (text[at] === '\\') at++;
        value += text[at] ?? '';
      }
      at++;
      return format(value);
    }
    const start = at;
    while (at < text.length && text[at] !== ',' && text[at] !== '}') at++;
    const bare = text.slice(start, at);
    return bare === 'NULL' ? 'null' : format(bare);
  };
  const list = (): string => {
    const parts: string[] = [];
    at++;
    while (at < text.length && text[at] !== '}') {
      parts.push(text[at] === '{' ? list() : item());
      if (text[at] === ',') at++;
    }
    at++;
    return `[${parts.join(',')}]`;
  };
  return list();
}

/** Writes `{"id":1,...}` from the texts of the given columns, in that order; null is left out. */
export type RowWriter = (values: readonly (string | null | undefined)[]) => string;

/**
 * Compiles the writer of rows whose values come in the order of `columns`. `undefined` values (unchanged TOAST)
 * are left out like null; the caller names them.
 */
export function compileRowWriter(entity: Entity, columns: readonly string[]): RowWriter {
  const names = columns.map((name) => `${JSON.stringify(name)}:`);
  const kinds = columns.map((name) => {
    const column = entity.columns[name];
    if (!column) throw new Error(`${entity.table} has no column ${name}`);
    return column.kind;
  });
  return (values) => {
    let row = '{';
    for (let i = 0; i < names.length; i++) {
      const value = values[i];
      const kind = kinds[i];
      if (value === null || value === undefined || kind === undefined) continue;
      if (row.length > 1) row += ',';
      row += names[i] + formatValue(kind, value);
    }
    return `${row}}`;
  };
}
