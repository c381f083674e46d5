import { finished } from 'node:stream/promises';
import { z } from 'zod';
import { isStorable } from '../../../domain/column.ts';
import { imports } from '../../../domain/entities/imports.ts';
import { checkRecord, isBlank, type CheckedRecord } from '../../../platform/csv/contact-record.ts';
import { mappingSchema, mapRecord, type MappedRecord } from '../../../platform/csv/mapping.ts';
import { createMediaKey } from '../../../platform/media/key.ts';
import { sql } from '../../../platform/sql.ts';
import { cancelImport } from '../../commands/cancel-import.ts';
import { createImport } from '../../commands/create-import.ts';
import { principalOf, type App, type Context, type Reply, type Request } from '../context.ts';
import { FORM_BYTES, readingFile } from '../plugins/multipart.ts';
import { answerRow } from './entity-routes.ts';
import { importFormBody, readImportForm } from './import-form.ts';
import { answeredRow, answers, idParams, oneOf, writeHeaders } from './schemas.ts';
import { write } from './write.ts';

const access = { permission: 'contacts' } as const;
const tags = ['imports'];

const CSV_BYTES_MAX = 64 * 1024 * 1024;
const FILENAME_CHARACTERS_MAX = 255;

const texts = z.record(z.string(), z.string());
const previewSchema = z.object({
  encoding: imports.columns.encoding.value,
  separator: imports.columns.separator.value,
  header: z.array(z.string()),
  mapping: mappingSchema,
  rows: z
    .array(
      z.object({
        line: z.int(),
        contact: texts.describe('As it would be stored; as it is written where that cannot be.'),
        custom_fields: texts,
        tags: z.array(z.string()),
        problems: z.array(z.object({ field: z.string().optional(), message: z.string() })),
      }),
    )
    .describe('The first twenty at most.'),
});

/**
 * CSV imports of contacts. The API looks at the head of a file, stores it and writes down what is to be done with it;
 * an ingest worker does it, and the row tells, here and in the feed, how far it is.
 */
export function registerImportRoutes(app: App, context: Context): void {
  const bytesMax = Math.min(CSV_BYTES_MAX, context.config.media.bytesMax);
  const form = {
    config: { access, isTransfer: true },
    bodyLimit: bytesMax + FORM_BYTES,
  };
  const consumes = ['multipart/form-data'];
  app.post(
    '/api/imports',
    {
      ...form,
      schema: {
        tags,
        summary:
          'Import contacts from a CSV file: it is stored, carried out by a worker, and watched here or in the feed',
        consumes,
        body: importFormBody,
        headers: writeHeaders,
        response: answers(202, oneOf(answeredRow(imports))),
      },
    },
    (request, reply) => receive(context, request, reply, bytesMax),
  );
  app.post(
    '/api/imports/preview',
    {
      ...form,
      schema: {
        tags,
        summary: 'What an import of this file would understand; stores nothing',
        consumes,
        body: importFormBody,
        response: answers(200, oneOf(previewSchema)),
      },
    },
    async (request) => ({ data: await preview(context, request, bytesMax) }),
  );
  registerCancel(app, context);
}

function registerCancel(app: App, context: Context): void {
  app.post(
    '/api/imports/:id/cancel',
    {
      config: { access },
      schema: {
        tags,
        summary: 'Stop an import; what it has written stays',
        params: idParams,
        body: z.strictObject({}).nullish(),
        headers: writeHeaders,
        response: answers(200, oneOf(answeredRow(imports))),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId } = principalOf(request);
        return answerRow(imports, await cancelImport(tx, { accountId, id: request.params.id }));
      }),
  );
}

/** Stores the bytes, then the row; without a row the bytes go again. */
async function receive(
  context: Context,
  request: Request,
  reply: Reply,
  bytesMax: number,
): Promise<Reply> {
  const { accountId, userId } = principalOf(request);
  const { upload, fields, stream, inspection } = await readImportForm(request, bytesMax);
  const objectKey = createMediaKey(accountId);
  const { size, sha256 } = await readingFile(request, () =>
    context.media.put(objectKey, stream, {
      bytesMax,
      contentType: 'text/csv',
      signal: request.cancel,
    }),
  );
  let isKept = false;
  try {
    await upload.end();
    // Stands for the form, so that an Idempotency-Key tells another file, or other wishes, from the same.
    request.body = { filename: upload.filename, fields, sha256 };
    const answer = await write(context, request, reply, async (tx) => {
      const { encoding, separator, mapping } = inspection;
      const written = await createImport(tx, {
        accountId,
        actorId: userId,
        filename: readFilename(upload.filename),
        objectKey,
        size,
        encoding,
        separator,
        mapping,
        country: fields.country,
        isDryRun: fields.dry_run,
      });
      isKept = true;
      return answerRow(imports, written, 202);
    });
    return answer;
  } catch (error) {
    isKept = false;
    throw error;
  } finally {
    // Refused, rolled back, or the repetition of an upload that is there already.
    if (!isKept) await context.media.delete(objectKey);
  }
}

function readFilename(given: string): string {
  const name = given.split(/[/\\]/).at(-1)?.slice(-FILENAME_CHARACTERS_MAX) ?? '';
  return name !== '' && isStorable(name) ? name : 'contacts.csv';
}

async function preview(
  context: Context,
  request: Request,
  bytesMax: number,
): Promise<z.input<typeof previewSchema>> {
  const { accountId } = principalOf(request);
  const { upload, fields, stream, inspection } = await readImportForm(request, bytesMax);
  // The rest is read away: an answer in the middle of its question is an error to many clients.
  await readingFile(request, () => finished(stream.resume(), { signal: request.cancel }));
  await upload.end();
  const [account] = await context.database.query(
    sql`select default_country from public.accounts where id = ${accountId}`,
    { signal: request.cancel },
  );
  const country = fields.country ?? account?.['default_country'] ?? '';
  const { records, mapping, ...found } = inspection;
  const rows = records.flatMap(({ line, fields: cells }) => {
    const mapped = mapRecord(mapping, cells);
    return isBlank(mapped) ? [] : [showRow(line, mapped, checkRecord(mapped, country))];
  });
  return { ...found, header: [...found.header], mapping, rows };
}

function showRow(line: number, mapped: MappedRecord, checked: CheckedRecord) {
  return {
    line,
    contact: checked.ok ? checked.contact.values : mapped.contact,
    custom_fields: mapped.customFields,
    tags: [...mapped.tags],
    problems: checked.ok ? [] : [...checked.faults],
  };
}
