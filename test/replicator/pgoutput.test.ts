import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CONTENT_BYTES_MAX, readMessage, textOf, type Tuple } from '../../replicator/pgoutput.ts';
import * as wire from './pgoutput-encoder.ts';

const value: fc.Arbitrary<wire.Value> = fc.oneof(
  fc.string({ unit: 'grapheme' }).map((text) => ({ kind: 'text' as const, text })),
  fc.constant({ kind: 'null' as const }),
  fc.constant({ kind: 'unchanged' as const }),
);
const values = fc.array(value, { maxLength: 20 });
const oid = fc.nat({ max: 0xffffffff });
const lsn = fc.bigInt({ min: 0n, max: 0xffffffffffffffffn });
const name = fc.string().filter((text) => !text.includes('\0'));

function read(tuple: Tuple): wire.Value[] {
  return tuple.starts.map((_, index) => {
    const text = textOf(tuple, index);
    if (text === null) return { kind: 'null' };
    return text === undefined ? { kind: 'unchanged' } : { kind: 'text', text };
  });
}

describe('pgoutput', () => {
  test('reads back every row that can be written', () => {
    fc.assert(
      fc.property(oid, values, values, (table, old, row) => {
        const inserted = readMessage(wire.insert(table, row));
        const updated = readMessage(wire.update(table, old, row));
        const deleted = readMessage(wire.remove(table, old));
        expect(inserted).toMatchObject({ type: 'insert', oid: table });
        if (inserted.type === 'insert') expect(read(inserted.row)).toEqual(row);
        if (updated.type === 'update') {
          expect(read(updated.row)).toEqual(row);
          expect(updated.old && read(updated.old)).toEqual(old);
        }
        if (deleted.type === 'delete') expect(read(deleted.old)).toEqual(old);
      }),
    );
  });

  test('reads back transactions, truncates and logical messages', () => {
    fc.assert(
      fc.property(
        lsn,
        lsn,
        fc.bigInt({ min: -(2n ** 60n), max: 2n ** 60n }),
        oid,
        (start, end, micros, xid) => {
          expect(readMessage(wire.begin(start, micros, xid))).toEqual({
            type: 'begin',
            commitStart: start,
            committedAtMicros: micros,
            xid,
          });
          expect(readMessage(wire.commit(start, end, micros))).toEqual({
            type: 'commit',
            commitStart: start,
            commitEnd: end,
            committedAtMicros: micros,
          });
        },
      ),
    );
    fc.assert(
      fc.property(
        lsn,
        name,
        fc.string({ unit: 'grapheme' }),
        fc.boolean(),
        (at, prefix, content, isTransactional) => {
          expect(readMessage(wire.logicalMessage(at, prefix, content, isTransactional))).toEqual({
            type: 'message',
            lsn: at,
            prefix,
            content,
            isTransactional,
          });
        },
      ),
    );
    expect(readMessage(wire.truncate([1, 2]))).toEqual({ type: 'truncate', oids: [1, 2] });
  });

  test('[R12] passes over what a stranger emitted and no string of ours can hold', () => {
    const huge = wire.logicalMessage(1n, 'clarin.was', 'x'.repeat(CONTENT_BYTES_MAX + 1));
    expect(readMessage(huge)).toMatchObject({ type: 'message', prefix: 'clarin.was', content: '' });
  });

  test('refuses every message that is cut short or has bytes left over', () => {
    const whole = [
      wire.begin(1n, 2n, 3),
      wire.commit(1n, 2n, 3n),
      wire.insert(1, [{ kind: 'text', text: 'abc' }, { kind: 'null' }]),
      wire.update(1, [{ kind: 'null' }], [{ kind: 'unchanged' }]),
      wire.remove(1, [{ kind: 'text', text: '1' }]),
      wire.truncate([1]),
      wire.logicalMessage(1n, 'p', 'content'),
      wire.relation(1, 'tags', [{ name: 'id', isKey: true, typeOid: 20 }]),
    ];
    for (const message of whole) {
      for (let length = 0; length < message.length; length++) {
        expect(() => readMessage(message.subarray(0, length))).toThrow('cannot be read');
      }
      expect(() => readMessage(Buffer.concat([message, Buffer.from([0])]))).toThrow('left over');
    }
  });

  test('never throws anything but an error of the catalogue, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          readMessage(Buffer.from(bytes));
        } catch (error) {
          expect(error).toMatchObject({ name: 'ClarinError', code: 'internal' });
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
