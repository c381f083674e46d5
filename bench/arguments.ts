import { parseArgs } from 'node:util';

export type BenchArguments = {
  /** `api`: routes under load. `kommo`: reading a Kommo account. `whatsapp`: a worker with many devices. */
  readonly what: 'api' | 'kommo' | 'whatsapp';
  /** 1: 200,000 contacts, 200,000 leads, 2,000,000 messages; of Kommo 50,000 and 50,000; 200 devices. */
  readonly scale: number;
  /** Of each phase that is measured. */
  readonly seconds: number;
  readonly seed: number;
  /** Only routes whose name contains this text. */
  readonly only: string;
  /** Readers at once. */
  readonly readers: number;
  /** Between two requests of a reader in the paced phase, from 1; a person who clicks without a rest makes one a second. */
  readonly pauseMs: number;
};

export const USAGE = `usage: npm run bench -- kommo [--scale 1] [--seconds 20] [--seed 1]
       npm run bench -- whatsapp [--scale 1] [--seconds 20]
       npm run bench -- api [--scale 1] [--seconds 20] [--seed 1] [--readers 50] [--pause 1000] [--only <text>]
`;

/** Undefined when the words make no sense: the caller prints the usage. */
export function parseBenchArguments(words: readonly string[]): BenchArguments | undefined {
  try {
    return readArguments(words);
  } catch {
    // An option that is none of ours, or has no value.
    return undefined;
  }
}

function readArguments(words: readonly string[]): BenchArguments | undefined {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      scale: { type: 'string', default: '1' },
      seconds: { type: 'string', default: '20' },
      seed: { type: 'string', default: '1' },
      readers: { type: 'string', default: '50' },
      pause: { type: 'string', default: '1000' },
      only: { type: 'string', default: '' },
    },
  });
  const [scale, seconds, seed, readers, pauseMs] = [
    values.scale,
    values.seconds,
    values.seed,
    values.readers,
    values.pause,
  ].map(Number);
  const [what] = positionals;
  if (positionals.length !== 1 || !isBench(what)) return undefined;
  if (!isBetween(scale, 0.01, 10) || !isBetween(seconds, 1, 3_600)) return undefined;
  if (!isBetween(seed, 0, 1_000_000) || !Number.isInteger(seed)) return undefined;
  if (!isBetween(readers, 1, 1_000) || !Number.isInteger(readers)) return undefined;
  if (!isBetween(pauseMs, 1, 60_000)) return undefined;
  return { what, scale, seconds, seed, only: values.only, readers, pauseMs };
}

function isBench(what: string | undefined): what is BenchArguments['what'] {
  return what === 'api' || what === 'kommo' || what === 'whatsapp';
}

function isBetween(value: number | undefined, min: number, max: number): value is number {
  return value !== undefined && value >= min && value <= max;
}
