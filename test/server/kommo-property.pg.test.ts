import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  differing,
  findExcess,
  happening,
  openPlay,
  readEverything,
  storm,
  untilEqual,
  type Play,
} from './kommo-live-play.ts';

/** `KOMMO_SEEDS=200` for a long run, `KOMMO_FIRST_SEED=17 KOMMO_SEEDS=1` for one of them again. */
const SEEDS = Number(process.env['KOMMO_SEEDS'] ?? 4);
const FIRST_SEED = Number(process.env['KOMMO_FIRST_SEED'] ?? 1);
const seeds = Array.from({ length: SEEDS }, (_, index) => FIRST_SEED + index);

describe.each(seeds)('whatever happens over there and on the way (seed %i)', (seed) => {
  let play: Play;

  beforeAll(async () => {
    play = await openPlay(seed);
  });
  afterAll(() => play.live.stop());

  test('Postgres becomes what is there, by no more writes than changes', async () => {
    const { live, weather } = play;
    try {
      await untilEqual(play, 1_800);

      await storm(play);
      if (weather.isLossy) await readEverything(play);
      // By what is asked every few seconds alone, the pauses and rests of before included.
      await untilEqual(play, 1_500);

      // What happens to a row is written once, and what happens to it between two looks is one change.
      await findExcess(play);
      await live.run(120, { between: happening(play, { oneIn: 2, isPlain: true }) });
      if (weather.isLossy) await readEverything(play);
      await untilEqual(play, 600);
      const excess = await findExcess(play);
      if (!weather.isLate) expect(excess).toEqual([]);

      // Nothing happens: nothing is written, by no pass, no way round, no reading of everything.
      await live.run(700);
      await readEverything(play);
      await live.run(60);
      expect(await play.written()).toEqual([]);
      expect(await differing(play)).toEqual([]);
    } catch (error) {
      const says = `seed ${seed}, ${JSON.stringify(weather)}: ${String(error)}`;
      throw new Error(says, { cause: error });
    }
  }, 180_000);
});
