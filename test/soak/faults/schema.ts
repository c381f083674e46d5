import type { Fault, Resync, SoakWorld } from './fault.ts';
import { breakAndRepair } from './publication.ts';
import { PUBLICATION, round, untilApplied } from './seeing.ts';
import { recreateTable } from './recreate-table.ts';

/** The database takes another form under everybody's hands, while they write, and is put right by hand. */
type Alteration = {
  readonly name: string;
  readonly resync: Resync;
  readonly alter: readonly string[];
  readonly putRight: readonly string[];
};

const ALTERATIONS: readonly Alteration[] = [
  {
    name: 'column renamed',
    // Where nobody wrote to it meanwhile there is nothing that was missed.
    resync: 'may',
    alter: ['alter table tags rename column color to colour'],
    putRight: ['alter table tags rename column colour to color'],
  },
  {
    name: 'column retyped',
    resync: 'always',
    alter: [
      `alter publication ${PUBLICATION} drop table tags`,
      'alter table tags alter column name type varchar(500)',
      `alter publication ${PUBLICATION} add table tags`,
    ],
    putRight: [
      `alter publication ${PUBLICATION} drop table tags`,
      'alter table tags alter column name type text',
    ],
  },
  {
    name: 'column dropped',
    resync: 'always',
    alter: ['alter table tags drop column kommo_id cascade'],
    putRight: [
      'alter table tags add column kommo_id bigint',
      'alter table tags add constraint tags_kommo_id unique (account_id, kommo_id)',
    ],
  },
  {
    name: 'column added',
    resync: 'never',
    alter: ["alter table tags add column soak_added text default repeat('x', 10)"],
    putRight: ['alter table tags drop column soak_added'],
  },
  {
    name: 'replica identity full',
    resync: 'may',
    alter: ['alter table tags replica identity full'],
    putRight: [],
  },
  {
    name: 'replica identity nothing',
    resync: 'may',
    alter: ['alter table tags replica identity nothing'],
    putRight: [],
  },
  {
    name: 'foreign table published',
    resync: 'may',
    alter: [
      'create table public.soak_foreign (id bigint generated always as identity primary key, note text)',
      `alter publication ${PUBLICATION} add table public.soak_foreign`,
      `insert into public.soak_foreign (note) select 'row' from generate_series(1, 100)`,
    ],
    putRight: [`drop table public.soak_foreign`],
  },
];

function altered({ name, resync, alter, putRight }: Alteration): Fault {
  return {
    name,
    promises: ['G1', 'G5', 'G9'],
    resync,
    greenWithinMs: 60_000,
    isAlone: true,
    fits: () => true,
    run: async (world, random) => {
      const ms = random(3) === 0 ? 0 : 200 + random(4_000);
      const outcome = await breakAndRepair(world, ms, {
        alter: () => together(world, alter),
        putRight: () => together(world, putRight),
      });
      const { refusals, newEpoch, backMs } = outcome;
      if (newEpoch !== (resync === 'always') && resync !== 'may')
        throw new Error(`the epoch is ${newEpoch ? 'another' : 'the same'}`);
      return {
        says: `${alter.join('; ')}; put right after ${ms} ms, ${refusals} replicators had refused it; ${newEpoch ? 'a new epoch' : 'the same epoch'}`,
        figures: { backMs: round(backMs) },
      };
    },
  };
}

/** One transaction, as a migration is; waits its turn behind writers, and they behind it. */
async function together(world: SoakWorld, statements: readonly string[]): Promise<void> {
  if (statements.length === 0) return;
  const session = await world.session();
  try {
    await session.query(`begin; ${statements.join('; ')}; commit`);
  } finally {
    await session.end();
  }
}

const unpublishedTable: Fault = {
  name: 'table of nobody added and dropped',
  promises: ['G1', 'G8'],
  resync: 'never',
  greenWithinMs: 20_000,
  fits: () => true,
  run: async (world) => {
    await together(world, [
      'create table public.soak_private (id bigint, note text)',
      `insert into public.soak_private select n, repeat('n', 200) from generate_series(1, 5000) as n`,
    ]);
    await together(world, ['update public.soak_private set note = note || id']);
    await together(world, ['drop table public.soak_private']);
    return {
      says: 'a table that is not published was made, filled, changed and dropped',
      figures: { backMs: round(await untilApplied(world)) },
    };
  },
};

const tableRecreated: Fault = {
  name: 'table dropped and recreated',
  promises: ['G1', 'G5', 'G9'],
  resync: 'always',
  greenWithinMs: 60_000,
  isAlone: true,
  fits: () => true,
  run: async (world, random) => {
    const ms = random(2_000);
    let says = '';
    const { refusals, newEpoch, backMs } = await breakAndRepair(world, ms, {
      alter: async () => {
        says = await recreateTable(world, 'lead_tags');
      },
      putRight: async () => undefined,
    });
    if (!newEpoch) throw new Error('the epoch is the same');
    return {
      says: `${says}; put right after ${ms} ms, ${refusals} replicators had refused it; a new epoch`,
      figures: { backMs: round(backMs) },
    };
  },
};

export const SCHEMA_FAULTS: readonly Fault[] = [
  ...ALTERATIONS.map(altered),
  unpublishedTable,
  tableRecreated,
];
