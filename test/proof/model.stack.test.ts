import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hasSpin, search } from './spin.ts';

/**
 * The model of docs/proof, checked by spin: the true one holds in every state, and each guard removed has a counterexample,
 * whose shortest trail is the one that README.md shows. One search at a time.
 */
const ONE_READER = 'READERS=1';
const ALONE = ['TAKEOVERS=0', 'LOSSES=0'];
const ACCOUNT_LOST = [ONE_READER, 'NO_READS', 'TAKEOVERS=0', 'LOSSES=0', 'ACCOUNT_LOSSES=1'];

const TRUE_MODELS: readonly { name: string; switches: readonly string[] }[] = [
  { name: 'two writers, two readers, two replicators, a takeover, a loss of Redis', switches: [] },
  {
    name: 'the same to its end, with a crash: everything arrives',
    switches: [ONE_READER, 'NO_READS', 'CRASHES=1'],
  },
  {
    name: 'a crash of Postgres and a takeover',
    switches: [ONE_READER, 'LOSSES=0', 'POSTGRES_CRASHES=1'],
  },
  { name: 'judging the epoch in steps', switches: [ONE_READER, 'FINE'] },
  {
    name: 'a slot that somebody moves',
    switches: [ONE_READER, 'LOSSES=0', 'SLOT_MOVES=1'],
  },
  { name: 'an account that loses its keys, under one leader', switches: ACCOUNT_LOST },
];

const REMOVED: readonly { guard: string; switches: readonly string[]; violates: string }[] = [
  { guard: 'gate', switches: ['NO_GATE', ONE_READER, ...ALONE], violates: 'stale' },
  { guard: 'tombstone', switches: ['NO_TOMBSTONE', ONE_READER, ...ALONE], violates: 'stale' },
  { guard: 'age limit', switches: ['NO_AGE_LIMIT', ONE_READER, ...ALONE], violates: 'stale' },
  {
    guard: 'late watermark',
    switches: ['LATE_WATERMARK', ONE_READER, ...ALONE],
    violates: 'stale',
  },
  { guard: 'term', switches: ['NO_TERM', ONE_READER, 'LOSSES=0'], violates: 'deposed' },
  { guard: 'epoch', switches: ['NO_EPOCH', ONE_READER, 'TAKEOVERS=0'], violates: 'stale' },
  { guard: 'run id', switches: ['NO_RUN_ID', ONE_READER, 'TAKEOVERS=0'], violates: 'stale' },
  { guard: 'honest ack', switches: ['NO_HONEST_ACK', ONE_READER, ...ALONE], violates: 'lost' },
  {
    guard: 'start check',
    switches: ['NO_START_CHECK', ONE_READER, 'LOSSES=0', 'SLOT_MOVES=1'],
    violates: 'lost',
  },
  { guard: 'expected watermark', switches: ['NO_EXPECTED', ...ACCOUNT_LOST], violates: 'lost' },
  { guard: 'lost epoch', switches: ['NO_LOST_MARK', ...ACCOUNT_LOST], violates: 'kept' },
];

const isInstalled = await hasSpin();
const readme = readFileSync('docs/proof/README.md', 'utf8');

/** Under `### <guard>` the first block of text is its trail. */
function shownTrail(guard: string): string[] {
  const text = readme.split(`\n### ${guard}\n`)[1]?.split('\n### ')[0] ?? '';
  const block = /```text\n([^`]*)```/.exec(text)?.[1] ?? '';
  return block.split('\n').filter((line) => line !== '');
}

const note = isInstalled ? '' : ' (skipped: spin and gcc are not installed)';

describe.skipIf(!isInstalled)(`the model${note}`, { timeout: 300_000 }, () => {
  it.each(TRUE_MODELS)('holds in every state: $name', async ({ switches }) => {
    const found = await search(switches);
    expect(found).toMatchObject({ errors: 0, isExhaustive: true, violates: undefined });
    const states = found.states.toLocaleString('en-US');
    const shown = new RegExp(`\\| +${states} +\\| +${found.depth} +\\|`);
    expect(readme).toMatch(shown);
  });

  it.each(REMOVED)('has a counterexample without its $guard', async (removed) => {
    const found = await search(removed.switches, 'breadth first');
    expect(found).toMatchObject({ errors: 1, violates: removed.violates });
    expect(shownTrail(removed.guard)).toEqual(found.trail);
  });

  it('does not promise what only one leader notices: an account that loses its keys before a takeover', async () => {
    const switches = ACCOUNT_LOST.filter((name) => !name.startsWith('TAKEOVERS'));
    expect((await search(switches, 'breadth first')).violates).toBe('lost');
  });
});
