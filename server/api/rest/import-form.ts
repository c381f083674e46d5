import { Readable } from 'node:stream';
import { z } from 'zod';
import { ClarinError } from '../../../domain/errors.ts';
import { CSV_ENCODINGS, type CsvEncoding } from '../../../platform/csv/encoding.ts';
import { guessMapping, mappingSchema, type Mapping } from '../../../platform/csv/mapping.ts';
import { HEAD_BYTES_MAX, openCsv, type CsvFile } from '../../../platform/csv/read-csv.ts';
import type { CsvRecord, CsvSeparator } from '../../../platform/csv/record-parser.ts';
import { peekHead, type Peeked } from '../../../platform/media/peek.ts';
import { sniffContentType } from '../../../platform/media/sniff.ts';
import type { Request } from '../context.ts';
import { readingFile, readUpload, type Upload } from '../plugins/multipart.ts';

/** The form of an import: what it says, and its file as far as one look shows. */

const CONTENT_TYPES = [
  'text/csv',
  'text/plain',
  'application/vnd.ms-excel',
  'application/octet-stream',
];
/** Rows that are shown before anything is imported. */
const PREVIEW_ROWS = 20;
/** Of the mapping as JSON; the column holds a little more. */
const MAPPING_CHARACTERS_MAX = 60_000;

const separatorNames = { ',': ',', ';': ';', '\t': '\t', tab: '\t' } as const;

/** Fields as they come, texts all of them. */
const fieldsSchema = z.strictObject({
  mapping: z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue({ code: 'custom', message: 'is no JSON' });
        return z.NEVER;
      }
    })
    .pipe(mappingSchema)
    .optional(),
  separator: z
    .enum(Object.keys(separatorNames) as (keyof typeof separatorNames)[])
    .transform((name): CsvSeparator => separatorNames[name])
    .optional(),
  encoding: z.enum(CSV_ENCODINGS).optional(),
  country: z
    .string()
    .regex(/^[A-Z]{2}$/, 'is no ISO 3166 code of two capitals')
    .optional(),
  dry_run: z
    .enum(['true', 'false'])
    .default('false')
    .transform((text) => text === 'true'),
});

/** For the document alone: a form is read where its file is, and is not there yet when bodies are checked. */
export const importFormBody = z
  .object({
    mapping: z
      .string()
      .optional()
      .describe(
        'JSON `{"columns": [{"index": 0, "field": "phone"}]}`; guessed from the first line when absent',
      ),
    separator: z.enum([',', ';', 'tab']).optional().describe('Found out when absent'),
    encoding: z.enum(CSV_ENCODINGS).optional().describe('Found out when absent'),
    country: z
      .string()
      .optional()
      .describe("How phones without a country code are read; the account's when absent"),
    dry_run: z.enum(['true', 'false']).optional().describe('Counts, and writes no contact'),
    file: z
      .string()
      .meta({ format: 'binary' })
      .describe('CSV with a first line of titles; last in the form'),
  })
  .optional();

type Fields = z.output<typeof fieldsSchema>;

/** What the first 64 KiB of the file say, together with the fields. */
type Inspection = {
  readonly encoding: CsvEncoding;
  readonly separator: CsvSeparator;
  readonly header: readonly string[];
  readonly mapping: Mapping;
  /** The first rows behind the header. */
  readonly records: readonly CsvRecord[];
};

export type ImportForm = {
  readonly upload: Upload;
  readonly fields: Fields;
  /** The whole file, from its first byte. */
  readonly stream: Readable;
  readonly inspection: Inspection;
};

/**
 * Reads the form up to its file and the file's head. @throws ClarinError invalid_request, too_large: it is no such
 * form, no text, or no CSV as far as the head goes.
 */
export async function readImportForm(request: Request, bytesMax: number): Promise<ImportForm> {
  const upload = await readUpload(request, bytesMax);
  const fields = readFields(upload.fields);
  const type = (upload.contentType.split(';')[0] ?? '').trim().toLowerCase();
  if (!CONTENT_TYPES.includes(type))
    throw refuseFile(`is of type ${type.slice(0, 100)}; send a CSV file as text/csv`);
  // One byte more than is looked at tells whether that is all.
  const peeked = await readingFile(request, () => peekHead(upload.file, HEAD_BYTES_MAX + 1));
  const found = sniffContentType(peeked.head);
  if (!/^(?:text\/|application\/(?:octet-stream|json)$)/.test(found))
    throw refuseFile(`is no text but ${found}; save the sheet as CSV and send that`);
  const inspection = await inspect(peeked, fields);
  return { upload, fields, stream: peeked.stream, inspection };
}

function readFields(given: Readonly<Record<string, string>>): Fields {
  const parsed = fieldsSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const fields = parsed.error.issues.map((issue) => ({
    field: ['body', ...issue.path].join('.'),
    says: issue.message,
  }));
  const [first] = fields;
  throw new ClarinError('invalid_request', `${first?.field}: ${first?.says}`, {
    details: { fields },
  });
}

async function inspect({ head }: Peeked, fields: Fields): Promise<Inspection> {
  const isWhole = head.length <= HEAD_BYTES_MAX;
  const cut = refuseFile('has a first line that is longer than 64 KiB');
  async function* bytes(): AsyncGenerator<Buffer> {
    yield head.subarray(0, HEAD_BYTES_MAX);
    // The end of the head is not the end of a record.
    if (!isWhole) throw cut;
  }
  const { separator, encoding } = fields;
  const file = await openCsv(Readable.from(bytes()), {
    bytesMax: HEAD_BYTES_MAX,
    ...(separator === undefined ? {} : { separator }),
    ...(encoding === undefined ? {} : { encoding }),
  });
  const [header, ...records] = await readFirst(file, cut);
  if (!header) throw refuseFile('is empty');
  const mapping = chooseMapping(header.fields, fields.mapping);
  return {
    encoding: file.encoding,
    separator: file.separator,
    header: header.fields,
    mapping,
    records,
  };
}

/** All of the head is read, so that what is wrong in it is said at once; the first rows are kept. */
async function readFirst(file: CsvFile, cut: ClarinError): Promise<CsvRecord[]> {
  const records: CsvRecord[] = [];
  try {
    for await (const record of file.records)
      if (records.length <= PREVIEW_ROWS) records.push(record);
  } catch (error) {
    if (error !== cut || records.length === 0) throw error;
  }
  return records;
}

function chooseMapping(header: readonly string[], given: Mapping | undefined): Mapping {
  const mapping = given ?? guessMapping(header);
  const beyond = mapping.columns.find(({ index }) => index >= header.length);
  if (beyond) throw refuseMapping(`names column ${beyond.index}; the file has ${header.length}`);
  if (mapping.columns.length === 0) throw refuseMapping('is needed: no title of the file is known');
  if (JSON.stringify(mapping).length > MAPPING_CHARACTERS_MAX) throw refuseMapping('is too long');
  return mapping;
}

function refuseFile(says: string): ClarinError {
  return refuse('body.file', says);
}

function refuseMapping(says: string): ClarinError {
  return refuse('body.mapping', says);
}

function refuse(field: string, says: string): ClarinError {
  return new ClarinError('invalid_request', `${field}: ${says}`, {
    details: { fields: [{ field, says }] },
  });
}
