import type { IncomingMessage, ServerResponse } from 'node:http';
import type { World } from './world.ts';

const UPLOAD_BYTES_MAX = 128 * 1024 * 1024;

/**
 * WhatsApp's storage over HTTP: `GET /v/…` and, as Baileys uploads, `POST /mms/<type>/<hash>?auth=…&token=…` with the
 * encrypted bytes, answered with where they are. True when the request was one of these.
 */
export async function answerStorage(
  world: World,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const { pathname } = new URL(request.url ?? '/', 'http://fake');
  if (request.method === 'GET' && pathname.startsWith('/v/')) {
    answerDownload(world, request, response);
    return true;
  }
  if (request.method === 'POST' && /^\/(mms|pps|product)\//.test(pathname)) {
    await takeUpload(world, request, response);
    return true;
  }
  return false;
}

function answerDownload(world: World, request: IncomingMessage, response: ServerResponse): void {
  const fault = world.faults.strike(['download-status']);
  const file = world.files.find(request.url ?? '');
  const status = fault?.status ?? (file ? file.gone : 404);
  if (!file || status !== undefined) {
    response.writeHead(status ?? 404).end();
    return;
  }
  file.downloads += 1;
  const { bytes } = file;
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const type = { 'content-type': 'application/octet-stream' };
  if (!range) {
    response.writeHead(200, { ...type, 'content-length': bytes.length }).end(bytes);
    return;
  }
  const from = Math.min(Number(range[1]), bytes.length);
  const end = range[2] ? Math.min(Number(range[2]) + 1, bytes.length) : bytes.length;
  const part = bytes.subarray(from, end);
  const place = `bytes ${from}-${end - 1}/${bytes.length}`;
  response
    .writeHead(206, { ...type, 'content-length': part.length, 'content-range': place })
    .end(part);
}

async function takeUpload(
  world: World,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > UPLOAD_BYTES_MAX) {
      response.writeHead(413).end();
      return;
    }
    parts.push(part);
  }
  const fault = world.faults.strike(['upload-status']);
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fake');
  if (fault || searchParams.get('auth') !== world.mediaAuth) {
    const status = fault?.status ?? 401;
    response.writeHead(status, { 'content-type': 'application/json' }).end('{"error":"refused"}');
    return;
  }
  const { path } = world.files.put(Buffer.concat(parts), pathname.replace(/\/[^/]*$/, ''));
  const url = `${world.places.https}${path}`;
  response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ url, direct_path: path }));
}
