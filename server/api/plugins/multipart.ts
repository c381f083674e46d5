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
};

/** Bodies of type multipart/form-data, on the routes that ask for one. Every other route refuses them. */
export async function registerMultipart(app: App): Promise<void> {
  await app.register(multipart, { limits: LIMITS, throwFileSizeLimit: false });
}

/**
 * The form of an upload: its fields, then one file called `file`.
 * @throws ClarinError invalid_request when it is no such form.
 */
export async function readUpload(request: Request, bytesMax: number): Promise<Upload> {
  if (!request.isMultipart()) throw notAForm('the body is no multipart/form-data');
  const fields: Record<string, string> = {};
  try {
    // One byte more than is allowed, so that whoever stores it sees that it is too large.
    for await (const part of request.parts({ limits: { ...LIMITS, fileSize: bytesMax + 1 } })) {
      if (part.type === 'file') {
        if (part.fieldname !== 'file') {
          part.file.destroy();
          throw notAForm(
            `the file is called "${part.fieldname.slice(0, 50)}" and should be "file"`,
          );
        }
        return { file: part.file, filename: part.filename, contentType: part.mimetype, fields };
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
