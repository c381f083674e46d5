import { ClarinError } from '../../domain/errors.ts';
import {
  CSV_SEPARATORS,
  RecordParser,
  type CsvRecord,
  type CsvSeparator,
} from './record-parser.ts';

/** So many records tell enough: a head of very short ones would take too long. */
const SAMPLE_RECORDS = 200;
const STEP_BYTES = 4_096;

/**
 * The separator by which most of the first records have one and the same number of fields, more than one; of equals the
 * one with more fields. Each is tried with the real grammar, so that what stands in quotes does not count. A comma when
 * none separates anything. `head` is UTF-8; a record that it cuts off is not looked at.
 */
export async function detectSeparator(head: Buffer, isWhole: boolean): Promise<CsvSeparator> {
  let best: { separator: CsvSeparator; fit: Fit } = { separator: ',', fit: NO_FIT };
  for (const separator of CSV_SEPARATORS) {
    const parser = new RecordParser(separator);
    const records = await sampleOf(parser, head, isWhole);
    parser.destroy();
    const fit = fitOf(records.map(({ fields }) => fields.length));
    if (isBetter(fit, best.fit)) best = { separator, fit };
  }
  return best.separator;
}

async function sampleOf(
  parser: RecordParser,
  head: Buffer,
  isWhole: boolean,
): Promise<CsvRecord[]> {
  const records: CsvRecord[] = [];
  for (let start = 0; start < head.length; start += STEP_BYTES) {
    records.push(...(await parser.take(head.subarray(start, start + STEP_BYTES))));
    if (records.length >= SAMPLE_RECORDS) return records;
  }
  return isWhole ? [...records, ...(await lastRecord(parser))] : records;
}

/** A quote left open may be this separator's fault; if it is not, whoever reads the file will meet it again. */
async function lastRecord(parser: RecordParser): Promise<CsvRecord[]> {
  try {
    return await parser.end();
  } catch (error) {
    if (error instanceof ClarinError && error.code === 'invalid_request') return [];
    throw error;
  }
}

/** `share` of the records that have `width` fields: from 0 to 1. */
export type Fit = { readonly share: number; readonly width: number };

const NO_FIT: Fit = { share: 0, width: 1 };

/** How well a separator explains records of these widths: by the commonest width above one. */
export function fitOf(widths: readonly number[]): Fit {
  const counts = new Map<number, number>();
  for (const width of widths) if (width > 1) counts.set(width, (counts.get(width) ?? 0) + 1);
  let best = NO_FIT;
  for (const [width, count] of counts) {
    const fit = { share: count / widths.length, width };
    if (isBetter(fit, best)) best = fit;
  }
  return best;
}

function isBetter(fit: Fit, than: Fit): boolean {
  return fit.share > than.share || (fit.share === than.share && fit.width > than.width);
}
