import type { IncomingMessage } from 'node:http';
import { Problem } from './problem.ts';

/** Whom a request is for. */
export type Target = {
  /** undefined: it names no account. */
  readonly subdomain: string | undefined;
  /** `/api/v4/leads`, or whatever it is that is no part of the API. */
  readonly path: string;
  readonly parameters: URLSearchParams;
  /** What the account's links begin with. */
  readonly base: string;
  /** Above what a web server takes: 414. */
  readonly isTooLong: boolean;
};

const URL_BYTES_MAX = 8_192;
const BODY_BYTES_MAX = 10_000_000;

/** By the path, `/acme/api/v4/leads`, else by the host, `acme.kommo.test`. */
export function findTarget(request: IncomingMessage): Target {
  const host = request.headers.host ?? 'localhost';
  const url = new URL(request.url ?? '/', 'http://localhost');
  const origin = `http://${host}`;
  const isTooLong = (request.url?.length ?? 0) > URL_BYTES_MAX;
  const found = /^\/([^/]+)(\/(?:api\/v4|oauth2)(?:\/.*)?)$/.exec(url.pathname);
  const common = { parameters: url.searchParams, isTooLong };
  if (found && found[1] !== '__admin') {
    const [, subdomain = '', path = ''] = found;
    return { ...common, subdomain, path, base: `${origin}/${subdomain}` };
  }
  const name = host.replace(/:\d+$/, '');
  const subdomain =
    /^[\d.]+$|^\[/.test(name) || !name.includes('.') ? undefined : name.split('.')[0];
  return { ...common, subdomain, path: url.pathname, base: origin };
}

/** @throws Problem 413 above 10 MB. */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) throw new Problem(413, 'The body is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** JSON whatever its type says, as Kommo takes it, or a form; {} when there is none. @throws Problem 400 for what is neither. */
export function parseBody(
  request: IncomingMessage,
  body: Buffer,
): Readonly<Record<string, unknown>> {
  const text = body.toString('utf8').trim();
  if (text === '') return {};
  const type = request.headers['content-type'] ?? '';
  if (!text.startsWith('{') && type.includes('x-www-form-urlencoded')) {
    return Object.fromEntries(new URLSearchParams(text));
  }
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Record<string, unknown>;
    }
  } catch {
    // Said below.
  }
  throw new Problem(400, 'The body is no JSON object');
}
