import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ClarinError } from '../../domain/errors.ts';
import { createLog } from '../../platform/log.ts';

/** The line that is written of `error`. */
function lineOf(error: unknown): Record<string, unknown> {
  const output = new PassThrough();
  createLog({ component: 'ingest', level: 'trace' }, output).warn({ error }, 'it failed');
  return JSON.parse(String(output.read())) as Record<string, unknown>;
}

describe('an error in the log', () => {
  it('is its words, where it comes from, and its code', () => {
    const cause = Object.assign(new Error('duplicate key'), { code: '23505' });
    const { error } = lineOf(new ClarinError('conflict', 'somebody was quicker', { cause }));
    expect(error).toMatchObject({ type: 'ClarinError', code: 'conflict' });
    expect(error).toHaveProperty('message', 'somebody was quicker: duplicate key');
    expect(error).toHaveProperty('stack', expect.stringContaining('log.test.ts'));
  });

  it.each([
    ['Postgres', { detail: 'Key (jid)=(51987654321@s.whatsapp.net) exists', where: 'hola' }],
    ['Boom', { data: { jid: '51987654321@s.whatsapp.net' }, output: { payload: 'hola' } }],
    ['libsignal', { addr: '51987654321.0', identityKey: Buffer.from('hola') }],
    ['fetch', { request: { url: 'https://51987654321/hola' } }],
  ])('has nothing of what %s hangs on it', (_, more) => {
    const line = JSON.stringify(lineOf(Object.assign(new Error('refused'), more)));
    expect(line).toContain('refused');
    expect(line).not.toMatch(/51987654321|hola|"data":\[/);
  });

  it('is written also when it refers to itself', () => {
    const error: Error & { self?: unknown } = new Error('around');
    error.self = error;
    expect(lineOf(error)).toHaveProperty('error.message', 'around');
  });

  it('that is none is written as it is', () => {
    expect(lineOf('a text')).toMatchObject({ error: 'a text' });
  });
});
