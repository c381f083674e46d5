import { Readable } from 'node:stream';
import { expect, it } from 'vitest';
import { meter } from '../../../platform/media/meter.ts';

const MIB = 1024 * 1024;

it('a file that passes through does not stay in memory, although an abort could end it', async () => {
  const source = Readable.from(
    (function* () {
      for (let n = 0; n < 400 * 16; n++) yield Buffer.alloc(65_536, n);
    })(),
    { objectMode: false },
  );
  const { signal } = new AbortController();
  const metered = meter(source, { bytesMax: 1_000 * MIB, signal });
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for await (const chunk of metered.bytes) {
    expect(chunk.byteLength).toBeGreaterThan(0);
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  expect(metered.measure().size).toBe(400 * MIB);
  // All of it, when each chunk was kept; what is not collected yet, when none is.
  expect(most).toBeLessThan(250 * MIB);
});
