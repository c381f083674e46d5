import type { Soaked } from './soak.ts';

/** The tables that end a soak, in Markdown, and what did not hold. */
export function describe({ seed, rounds, minutes, tally, failures }: Soaked): string {
  const number = (value: number): string => Math.round(value).toLocaleString('en');
  const counted = (name: string): string => number(tally.count(name));
  const worst = (name: string): string => {
    const value = tally.worst.get(name);
    return value === undefined ? '-' : number(value);
  };
  const worstOf = (part: RegExp): string => {
    const found = [...tally.worst].filter(([name]) => part.test(name)).map(([, value]) => value);
    return found.length === 0 ? '-' : number(Math.max(...found));
  };
  const faults = (id: string): string => counted(`faults of ${id}`);
  const reads = `${counted('reads hit')} hits, ${counted('reads miss')} misses, ${counted('reads bypass')} past it`;
  const memory = [...tally.worst].filter(([name]) => name.startsWith('peak memory of '));
  return [
    '',
    `Seed ${seed}: ${rounds} rounds in ${minutes.toFixed(1)} minutes, ${failures.length === 0 ? 'everything held' : `${failures.length} FAILURES`}.`,
    '',
    '| promise | what was checked | faults survived |',
    '|---|---|---|',
    `| G1 complete | ${counted('rows compared')} rows in ${counted('copies compared')} copies equal Postgres | ${faults('G1')} |`,
    `| G2 ordered | ${counted('events')} events in ${counted('commits delivered')} commits, ${counted('transactions whole')} transactions over two tables whole; ${counted('versions placed')} versions where they were committed | ${faults('G2')} |`,
    `| G3 visible | ${counted('reads because of an event')} reads because of an event | ${faults('G3')} |`,
    `| G4 coherent | ${counted('versions compared')} versions by their cursors (${reads}); ${counted('settled reads hit')} hits byte for byte, ${counted('cached entries verified')} entries by \`clarin verify\`; ${counted('own writes read')} own writes | ${faults('G4')} |`,
    `| G5 gap-free | ${counted('versions in order')} versions without a gap over ${counted('subscriptions')} subscriptions and ${counted('snapshots')} snapshots | ${faults('G5')} |`,
    `| G6 honest ack | as G1, after every crash | ${faults('G6')} |`,
    `| G7 bounded staleness | stalest hit ${worst('stalest hit, ms')} ms; longest takeover ${worstOf(/takeoverMs/)} ms | ${faults('G7')} |`,
    `| G8 isolated | every frame of ${counted('events')} events looked through for other accounts | ${faults('G8')} |`,
    `| G9 truthful | longest to green ${worstOf(/^green after /)} ms; ${counted('clients told')} times a client was told that its history was lost, ${counted('clients left in peace')} times rightly not | ${faults('G9')} |`,
    `| G10 bounded | largest process ${worstOf(/^peak memory of (?!Redis)/)} MB, Redis ${worst('peak memory of Redis, MB')} MB | ${faults('G10')} |`,
    '',
    ...table('fault', 'survived', tally.under('survived ')),
    ...table(
      'longest',
      'ms',
      [...tally.worst].filter(([name]) => /Ms$|, ms$/.test(name)),
    ),
    ...table('peak memory', 'MB', memory),
    ...table('work', 'transactions', tally.under('work ')),
    ...table(
      'transactions',
      '',
      tally.under('transactions ').filter(([name]) => name !== 'whole'),
    ),
    ...table('refused by the schema', '', tally.under('refused ')),
    ...table('resync', '', tally.under('resync ')),
    ...table('socket closed', '', tally.under('closed with ')),
    ...table('REST writes', '', tally.under('REST writes answered with ')),
    ...table('events', '', tally.under('op ')),
    ...failures.flatMap((failure, index) => [`FAILURE ${index + 1}: ${failure}`, '']),
    ...(failures.length > 0 ? [`again: npm run soak -- --seed ${seed}`] : []),
  ].join('\n');

  function table(what: string, unit: string, rows: readonly [string, number][]): string[] {
    if (rows.length === 0) return [];
    return [
      `| ${what} | ${unit} |`,
      '|---|---|',
      ...rows.map(([name, value]) => `| ${name} | ${number(value)} |`),
      '',
    ];
  }
}
