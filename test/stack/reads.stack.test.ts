import { expect, it } from 'vitest';
import { runReads } from '../soak/scenarios/reads.ts';

/** Twenty thousand hits; `npm run soak -- --scenario reads` compares ten million. */
const SCALE = 0.002;

it(
  '[C5] every cached read shows what its watermark stands for, while replicators die, Redis is flushed and commits hang',
  { timeout: 300_000 },
  async () => {
    const figures = await runReads({ scale: SCALE, say: () => undefined });
    expect(figures.filter(({ holds }) => !holds)).toEqual([]);
  },
);
