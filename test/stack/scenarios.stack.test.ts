import { expect, test } from 'vitest';
import { million } from '../soak/scenarios/million.ts';

/** How long things take is for `npm run soak -- --scenario million`, on a machine that does nothing else. */
const isTime = ({ bound }: { bound?: string }): boolean => bound?.endsWith(' ms') ?? false;

test('[R9] a large transaction costs neither memory nor anybody else an event', async () => {
  const figures = await million({ scale: 0.03, say: () => undefined });
  expect(figures.filter((figure) => !figure.holds && !isTime(figure))).toEqual([]);
  expect(figures.length).toBeGreaterThan(15);
}, 240_000);
