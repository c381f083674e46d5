import type { Readable } from 'node:stream';
import multipart from '@fastify/multipart';
import { ClarinError } from '../../../domain/errors.ts';
import type { App, Request } from '../context.ts';

/** One file and a few short fields: nothing else is ever asked for. RFC 7578. */
const LIMITS = {
  files: 1,
  fields: 10,
  parts: 12,
  fieldSize: 16 * 1024,
  fieldNameSize: 100,
  headerPairs: 50,
};
/** The fields and the boundaries around a file. */
export const FORM_BYTES = 256 * 1024;

export type Upload = {
  /** The file's bytes: to be read to the end or destroyed. Cut at the limit that was asked for, then `isTruncated`. */
  readonly file: Readable;
  readonly filename: string;
  /** As the sender says. */
  readonly contentType: string;
  /** Fields that came before the file; browsers send them in the order of the form. */
  readonly fields: Readonly<Record<string, string>>;
  /** Call when the file was read. @throws ClarinError invalid_request: a field behind it would not have been heeded. */
  end(): Promise<void>;
};

/** Bodies of type multipart/form-data, on the routes that ask for one. Every other route refuses them. */
export async function registerMultipart(app: App): Promise<void> {
  await app.register(multipart, { limits: LIMITS, throwFileSizeLimit: false });
  // What is left of a form that was refused half-way stands before the connection's next request: it is read away.
  app.addHook('onResponse', (request, _reply, done) => {
    if (request.isMultipart() && !request.raw.readableEnded) request.raw.unpipe().resume();
    done();
  });
}

/**
 * The form of an upload: its fields, then one file called `file`.
 * @throws ClarinError invalid_request when it is no such form.
 */
export async function readUpload(request: Request, bytesMax: number): Promise<Upload> {
  if (!request.isMultipart()) throw notAForm('the body is no multipart/form-data');
  if (Number(request.headers['content-length'] ?? 0) > bytesMax + FORM_BYTES) {
    const details = { bytes_max: bytesMax };
    throw new ClarinError('too_large', `a file may have ${bytesMax} bytes`, { details });
  }
  const fields: Record<string, string> = {};
  try {
    // One byte more than is allowed, so that whoever stores it sees that it is too large.
    const parts = request.parts({ limits: { ...LIMITS, fileSize: bytesMax + 1 } });
    for (let next = await parts.next(); next.done !== true; next = await parts.next()) {
      const part = next.value;
      if (part.type === 'file') {
        if (part.fieldname !== 'file') {
          part.file.destroy();
          throw notAForm(
            `the file is called "${part.fieldname.slice(0, 50)}" and should be "file"`,
          );
        }
        const { file, filename, mimetype } = part;
        return { file, filename, contentType: mimetype, fields, end: () => assertOver(parts) };
      }
      if (part.fieldnameTruncated || part.valueTruncated) throw notAForm('a field is too long');
      if (part.fieldname in fields) throw notAForm(`the field "${part.fieldname}" comes twice`);
      fields[part.fieldname] = String(part.value);
    }
  } catch (error) {
    if (error instanceof ClarinError) throw error;
    throw notAForm('the form cannot be read', error);
  }
  throw notAForm('the form has no file');
}

async function assertOver(parts: AsyncIterator<unknown>): Promise<void> {
  const next = await parts.next().catch((error: unknown) => {
    throw notAForm('the form cannot be read', error);
  });
  if (next.done !== true) throw notAForm('comes last in the form, behind its fields');
}

/** Reads an upload's file; a form that ends in the middle of it is the caller's fault, and said so. */
export async function readingFile<T>(request: Request, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ClarinError || request.cancel.aborted) throw error;
    throw notAForm('the form ends before its file does', error);
  }
}

function notAForm(says: string, cause?: unknown): ClarinError {
  return new ClarinError('invalid_request', `body.file: ${says}`, {
    details: { fields: [{ field: 'body.file', says }] },
    ...(cause === undefined ? {} : { cause }),
  });
}
