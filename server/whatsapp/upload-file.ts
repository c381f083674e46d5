import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createReadStream } from 'node:fs';
import { request as openRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { encodeBase64EncodedStringForUpload, MEDIA_PATH_MAP } from '@whiskeysockets/baileys';
import type { MediaKind, UploadedFile } from './build-content.ts';
import { encryptFile } from './encrypt-file.ts';
import { SEND_REFUSALS, SendFault, SendRefusal } from './judge-send.ts';
import type { MediaHosts } from './media-hosts.ts';

type Options = {
  readonly kind: MediaKind;
  readonly hosts: (options?: { isStale: boolean }) => Promise<MediaHosts>;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly signal: AbortSignal;
};

/** Of a directory in the one for temporary files, with one upload in it. */
const PREFIX = 'clarin-upload-';
/** No upload lasts this long: what is older was left by a process that was killed. */
const ABANDONED_AFTER_MS = 24 * 3_600_000;
/** Without a byte moving. */
const IDLE_MS = 60_000;
const ANSWER_BYTES_MAX = 65_536;
const ORIGIN = 'https://web.whatsapp.com';

/**
 * Encrypts a file into the directory for temporary ones and uploads it from there: its hash, which is known at the end,
 * stands in the address it goes to. Memory does not grow with the file.
 * @throws SendRefusal when no host takes a file so large; SendFault when none takes it now; what the stream failed with;
 * the signal's reason.
 */
export async function uploadFile(
  source: Readable,
  { kind, hosts, now, signal }: Options,
): Promise<UploadedFile> {
  swept ??= removeAbandoned(now() - ABANDONED_AFTER_MS);
  await swept;
  const directory = await mkdtemp(join(tmpdir(), PREFIX));
  try {
    const path = join(directory, 'file');
    const { mediaKey, fileSha256, fileEncSha256, fileLength } = await encryptFile(source, {
      kind,
      path,
      signal,
    });
    const token = encodeBase64EncodedStringForUpload(Buffer.from(fileEncSha256).toString('base64'));
    const where = await uploadSomewhere({ path, kind, token, hosts, signal });
    const mediaKeyTimestamp = Math.floor(now() / 1_000);
    const said = { mediaKey, fileSha256, fileEncSha256, fileLength, mediaKeyTimestamp };
    return { ...where, ...said, seconds: undefined };
  } finally {
    source.destroy();
    await rm(directory, { recursive: true, force: true });
  }
}

let swept: Promise<void> | undefined;

/** Best effort: what goes wrong here goes wrong again where it is told. */
async function removeAbandoned(beforeMs: number): Promise<void> {
  for (const name of await readdir(tmpdir()).catch(() => [])) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(tmpdir(), name);
    const found = await stat(path).catch(() => undefined);
    if (found && found.mtimeMs < beforeMs)
      await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

type Upload = Pick<Options, 'kind' | 'hosts' | 'signal'> & {
  readonly path: string;
  readonly token: string;
};
type Where = Pick<UploadedFile, 'url' | 'directPath'>;

const TOO_LARGE = 413;

/** Two looks at the hosts: the right to upload may have ended. */
async function uploadSomewhere(upload: Upload): Promise<Where> {
  const { size } = await stat(upload.path);
  let cause: unknown;
  for (const isStale of [false, true]) {
    const { auth, hosts } = await upload.hosts({ isStale });
    const able = hosts.filter(({ bytesMax }) => bytesMax === undefined || size <= bytesMax);
    if (able.length === 0) throw new SendRefusal(SEND_REFUSALS.file_too_large);
    for (const { hostname } of able) {
      try {
        const { status, where } = await post(urlOf(hostname, auth, upload), upload, size);
        if (where) return where;
        if (status === TOO_LARGE) throw new SendRefusal(SEND_REFUSALS.file_too_large);
        cause = new Error(`a host for files answered ${status}`);
      } catch (error) {
        upload.signal.throwIfAborted();
        if (error instanceof SendRefusal) throw error;
        cause = error;
      }
    }
  }
  throw new SendFault(SEND_REFUSALS.not_uploaded, { cause });
}

function urlOf(hostname: string, auth: string, { kind, token }: Upload): string {
  return `https://${hostname}${MEDIA_PATH_MAP[kind]}/${token}?auth=${encodeURIComponent(auth)}&token=${token}`;
}

type Answer = { readonly status: number | undefined; readonly where: Where | undefined };

/** Not by fetch: it reads all of a body before it sends the first byte of it. https://github.com/nodejs/undici/issues/4058 */
function post(url: string, { path, signal }: Upload, size: number): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': size,
      origin: ORIGIN,
    };
    const request = openRequest(url, { method: 'POST', headers, signal, timeout: IDLE_MS });
    const file = createReadStream(path);
    request.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
        if (body.length > ANSWER_BYTES_MAX) request.destroy(new Error('the answer is too long'));
      });
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, where: whereOf(body) }));
    });
    request.on('timeout', () => request.destroy(new Error('nothing moved for too long')));
    request.on('error', reject);
    request.on('close', () => file.destroy());
    file.on('error', (error) => request.destroy(error));
    file.pipe(request);
  });
}

function whereOf(body: string): Where | undefined {
  try {
    const { url, direct_path: directPath } = JSON.parse(body) as Record<string, unknown>;
    return typeof url === 'string' && typeof directPath === 'string'
      ? { url, directPath }
      : undefined;
  } catch {
    return undefined;
  }
}
