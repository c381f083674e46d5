import { WRITE_PREFIX } from './routes.ts';
import { Samples, type Measured } from './samples.ts';

type Phases = { readonly cached: Measured; readonly bypassed: Measured };

const HEAD = ['route', 'requests', 'p50', 'p99', 'max', 'hits', 'requests', 'p50', 'p99', 'max'];

/** A table: each route as it is, and beside it with the cache bypassed. Milliseconds. */
export function formatReport(title: string, { cached, bypassed }: Phases, seconds: number): string {
  const names = [...new Set([...cached.keys(), ...bypassed.keys()])].toSorted();
  const writes = names.filter((name) => name.startsWith(WRITE_PREFIX));
  const reads = names.filter((name) => !name.startsWith(WRITE_PREFIX));
  const row = (name: string, of: readonly string[]): string[] => {
    const samples = Samples.of(of.map((one) => cached.get(one)));
    return [
      name,
      ...cells(samples),
      formatRate(samples.hitRate),
      ...cells(Samples.of(of.map((one) => bypassed.get(one)))),
    ];
  };
  const table = [
    HEAD,
    ...names.map((name) => row(name, [name])),
    row('all reads', reads),
    row('all writes', writes),
  ];
  const widths = HEAD.map((_, place) => Math.max(...table.map((row) => row[place]?.length ?? 0)));
  const lines = table.map((row) =>
    row
      .map((cell, place) =>
        place === 0
          ? (cell ?? '').padEnd(widths[0] ?? 0)
          : (cell ?? '').padStart(widths[place] ?? 0),
      )
      .join('  '),
  );
  const rate = (measured: Measured): string => {
    const total = [...measured.values()].reduce((sum, samples) => sum + samples.count, 0);
    return `${Math.round(total / seconds)} requests/s`;
  };
  const refused = [...formatRefused(cached), ...formatRefused(bypassed)];
  return [
    `${title}: with the cache ${rate(cached)}; bypassed ${rate(bypassed)}`,
    ...lines,
    ...refused,
    '',
  ].join('\n');
}

function cells(samples: Samples): string[] {
  if (samples.count === 0) return ['0', '', '', ''];
  const millis = [0.5, 0.99, 1].map((share) => samples.quantile(share).toFixed(1));
  return [String(samples.count), ...millis];
}

function formatRate(rate: number | undefined): string {
  return rate === undefined ? '-' : `${Math.round(rate * 100)}%`;
}

function formatRefused(measured: Measured): string[] {
  return [...measured].flatMap(([name, samples]) =>
    [...samples.refused].map(([status, count]) => `${name}: ${count} answers with ${status}`),
  );
}
