import { Writable } from 'node:stream';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { quietLogger } from '../../../server/ingest/whatsapp/quiet-logger.ts';

it('Baileys logs no text, key or address, whatever it is handed and whatever our level is', () => {
  const lines: string[] = [];
  const stream = new Writable({
    write: (chunk, _, done) => {
      lines.push(String(chunk));
      done();
    },
  });
  const logger = quietLogger(pino({ level: 'trace' }, stream)).child({ class: 'whisper' });
  const secret = { text: 'whisper', key: Buffer.from('whisper') };
  const error = Object.assign(new TypeError('whisper'), { output: { statusCode: 428 } });
  for (const level of ['trace', 'debug', 'info', 'warn', 'error'] as const) {
    logger[level]({ ...secret, error }, 'from 51987654321@s.whatsapp.net, again');
    logger[level](error);
  }
  const text = lines.join('');
  expect(text).not.toMatch(/whisper|5198765|whatsapp\.net/);
  const entries = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(entries).toHaveLength(4);
  expect(entries[2]).toMatchObject({
    says: 'from … again',
    errorName: 'TypeError',
    statusCode: 428,
  });
  expect(logger.level).toBe('warn');
});
