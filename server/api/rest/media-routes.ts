import { z } from 'zod';
import { media } from '../../../domain/entities/media.ts';
import { isStorable } from '../../../domain/column.ts';
import { ClarinError } from '../../../domain/errors.ts';
import { formatTimestamp } from '../../../domain/row-json.ts';
import { inReach } from '../../../platform/entity-sql/scope.ts';
import { createMediaKey } from '../../../platform/media/key.ts';
import { peekHead } from '../../../platform/media/peek.ts';
import { parseRange } from '../../../platform/media/range.ts';
import { decideServing } from '../../../platform/media/serving.ts';
import { SNIFF_BYTES, sniffContentType } from '../../../platform/media/sniff.ts';
import { sql, type Sql } from '../../../platform/sql.ts';
import { createMedia } from '../../commands/create-media.ts';
import { principalOf, type App, type Context, type Reply, type Request } from '../context.ts';
import { FORM_BYTES, readingFile, readUpload } from '../plugins/multipart.ts';
import { answerRow, viewerOf } from './entity-routes.ts';
import { notFound } from './read.ts';
import { isNoneMatched } from './request-headers.ts';
import { answeredRow, answers, idParams, oneOf, writeHeaders } from './schemas.ts';
import { write } from './write.ts';

const access = { permission: 'chats' } as const;
const tags = ['media'];
const FILENAME_CHARACTERS_MAX = 255;

/** Files: uploaded first, then sent by their id; downloaded with ranges by whoever may see the row. */
export function registerMediaRoutes(app: App, context: Context): void {
  registerUpload(app, context);
  registerContent(app, context);
}

function registerUpload(app: App, context: Context): void {
  const { bytesMax } = context.config.media;
  app.post(
    '/api/media',
    {
      config: { access, isTransfer: true },
      bodyLimit: bytesMax + FORM_BYTES,
      schema: {
        tags,
        summary:
          'Upload a file, multipart/form-data with one part called `file`; send it by its id',
        consumes: ['multipart/form-data'],
        headers: writeHeaders,
        response: answers(201, oneOf(answeredRow(media))),
      },
    },
    (request, reply) => receive(context, request, reply),
  );
}

/** Stores the bytes, then the row; without a row the bytes go again. */
async function receive(context: Context, request: Request, reply: Reply): Promise<Reply> {
  const { accountId, userId } = principalOf(request);
  const { bytesMax } = context.config.media;
  const upload = await readUpload(request, bytesMax);
  const [unknown] = Object.keys(upload.fields);
  if (unknown !== undefined)
    throw new ClarinError(
      'invalid_request',
      `body: "${unknown.slice(0, 50)}" is no field of this form`,
      {
        details: { fields: [{ field: `body.${unknown.slice(0, 50)}`, says: 'is not known' }] },
      },
    );
  const objectKey = createMediaKey(accountId);
  const { mimetype, ...stored } = await readingFile(request, async () => {
    const { head, stream } = await peekHead(upload.file, SNIFF_BYTES);
    const contentType = sniffContentType(head, upload.contentType);
    const options = { bytesMax, contentType, signal: request.cancel };
    return { mimetype: contentType, ...(await context.media.put(objectKey, stream, options)) };
  });
  let isKept = false;
  try {
    await upload.end();
    if (stored.size === 0) throw new ClarinError('invalid_request', 'body.file: is empty');
    // Stands for the form, so that an Idempotency-Key tells another file from the same one.
    request.body = { filename: upload.filename, mimetype, sha256: stored.sha256 };
    const answer = await write(context, request, reply, async (tx) => {
      const filename = readFilename(upload.filename);
      const file = { objectKey, mimetype, filename, ...stored };
      const written = await createMedia(tx, { accountId, actorId: userId, ...file });
      isKept = true;
      return answerRow(media, written, 201);
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

/** What can be stored of a name; a name is no reason to lose a file. */
function readFilename(given: string): string | undefined {
  const name = given.split(/[/\\]/).at(-1)?.slice(-FILENAME_CHARACTERS_MAX) ?? '';
  return name !== '' && isStorable(name) ? name : undefined;
}

function registerContent(app: App, context: Context): void {
  app.get(
    '/api/media/:id/content',
    {
      config: { access, isTransfer: true },
      schema: {
        tags,
        summary: 'The bytes of a file; understands Range (RFC 9110) and If-None-Match',
        params: idParams,
        querystring: z.strictObject({ download: z.enum(['true', 'false']).default('false') }),
        response: answers(
          200,
          z.string().meta({ format: 'binary' }).describe('As its mimetype says; 206 for a range.'),
        ),
      },
    },
    (request, reply) =>
      serve(context, request, reply, {
        id: request.params.id,
        isDownload: request.query.download === 'true',
      }),
  );
}

/** A file of a device one may see, or that a message shows which one may see: forwarding crosses devices. */
function isSeen(request: Request): Sql {
  const viewer = viewerOf(request);
  const { accountId, devices } = viewer;
  const own = inReach(media, 'entity', viewer);
  if (devices === undefined) return own;
  return sql`(${own} or entity.account_id = ${accountId} and exists (
    select from public.messages as message
    where message.account_id = ${accountId} and message.media_id = entity.id
      and message.device_id = any(${[...devices]}::bigint[])
  ))`;
}

async function serve(
  context: Context,
  request: Request,
  reply: Reply,
  { id, isDownload }: { id: number; isDownload: boolean },
): Promise<Reply> {
  const [row] = await context.database.query(
    sql`
      select object_key, mimetype, filename, size, state, sha256, updated_at
      from public.media as entity
      where ${isSeen(request)} and entity.id = ${id}`,
    { signal: request.cancel },
  );
  if (!row) throw notFound();
  if (row['state'] !== 'stored')
    throw new ClarinError('conflict', 'the file is not here yet', {
      details: { state: row['state'] },
    });
  const etag = `"${row['sha256'] ?? formatTimestamp(row['updated_at'] ?? '')}"`;
  const serving = decideServing({
    contentType: row['mimetype'] ?? '',
    filename: row['filename'] ?? undefined,
    isDownload,
  });
  void reply.headers({
    ...serving,
    etag,
    'accept-ranges': 'bytes',
    'cache-control': 'private, no-cache',
  });
  if (isNoneMatched(request, etag)) return reply.code(304).send();
  const size = Number(row['size']);
  const isSame = [undefined, etag].includes(request.headers['if-range'] as string | undefined);
  // RFC 9110 section 14.2: a range of a HEAD is no range.
  const isPart = isSame && request.method === 'GET';
  const range = isPart ? parseRange(request.headers.range, size) : 'whole';
  if (range === 'unsatisfiable')
    return reply.code(416).header('content-range', `bytes */${size}`).send();
  const isWhole = range === 'whole';
  const got = await context.media.get(row['object_key'] ?? '', isWhole ? {} : { range });
  if (!got) throw new ClarinError('unavailable', 'the bytes of this file are not in the store');
  request.cancel.addEventListener('abort', () => got.stream.destroy(), { once: true });
  const { start, end } = isWhole ? { start: 0, end: size - 1 } : range;
  void reply.header('content-length', end - start + 1);
  if (!isWhole) reply.code(206).header('content-range', `bytes ${start}-${end}/${size}`);
  return reply.send(got.stream);
}
