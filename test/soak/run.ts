import { parseArgs } from 'node:util';
import { layGround } from './ground.ts';
import { FAULTS } from './faults/faults.ts';
import { describe } from './report.ts';
import { SCENARIOS } from './scenarios/scenarios.ts';
import { runSoak } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string' },
    'without-faults': { type: 'boolean', default: false },
    scenario: { type: 'string' },
    scale: { type: 'string', default: '1' },
  },
});

const stopped = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => stopped.abort(new Error(`stopped by ${signal}`)));

const say = (line: string): void => void process.stdout.write(`${line}\n`);

process.exitCode = await (values.scenario === undefined
  ? soak()
  : playScenario(values.scenario, Number(values.scale)));

async function soak(): Promise<number> {
  const seed = Number(values.seed);
  const wanted = values.only?.split(',').map((name) => name.trim());
  const unknown = wanted?.filter((name) => !FAULTS.some((fault) => fault.name === name)) ?? [];
  if (unknown.length > 0) {
    say(
      `no fault ${unknown.join(', ')}; there are:\n${FAULTS.map(({ name }) => `  ${name}`).join('\n')}`,
    );
    return 2;
  }
  const faults = FAULTS.filter(({ name }) => wanted?.includes(name) ?? true);
  const ground = await layGround();
  say(`seed ${seed}`);
  try {
    const soaked = await runSoak({
      ground,
      seed,
      forMs: Number(values.minutes) * 60_000,
      workMs: 4_000,
      faults: values['without-faults'] ? [] : faults,
      faultsAtOnce: 3,
      replicators: 2 + (seed % 2),
      say,
      signal: stopped.signal,
    });
    say(describe(soaked));
    return soaked.failures.length === 0 ? 0 : 1;
  } finally {
    await ground.remove();
  }
}

/** A promise at the size it is stated at. */
async function playScenario(name: string, scale: number): Promise<number> {
  const scenario = SCENARIOS[name];
  if (!scenario) {
    say(`no scenario ${name}; there are: ${Object.keys(SCENARIOS).join(', ')}`);
    return 2;
  }
  const figures = await scenario({ scale, say });
  say(`\n| ${name} | | promised | |\n|---|---|---|---|`);
  for (const { name: what, value, bound = '', holds } of figures)
    say(`| ${what} | ${value} | ${bound} | ${holds ? 'holds' : 'DOES NOT HOLD'} |`);
  return figures.every(({ holds }) => holds) ? 0 : 1;
}
