import { createHash, createHmac } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import S3rver from 's3rver';

/**
 * An S3 over real HTTP: s3rver, and before it the two things that it lacks: it takes any signature of version 4, and
 * does not know AbortMultipartUpload.
 */
export type TestS3 = {
  readonly endpoint: string;
  readonly bucket: string;
  /** Method and path of every request so far. */
  readonly requests: string[];
  /** Multipart uploads that were begun and neither completed nor aborted. */
  uploads(): Promise<string[]>;
  /** Called with each request before it is served; true when it has answered, or never will. */
  intercept: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined;
  stop(): Promise<void>;
};

/** s3rver's own, both the id and the secret. */
export const ACCESS_KEY = 'S3RVER';
export const REGION = 'eu-west-3';
const BUCKET = 'media';

export async function startTestS3(): Promise<TestS3> {
  const directory = await mkdtemp(join(tmpdir(), 'clarin-s3-'));
  const s3 = new S3rver({ directory, silent: true, configureBuckets: [{ name: BUCKET }] });
  await s3.configureBuckets();
  const serve = s3.callback();
  const uploadsDirectory = join(directory, BUCKET, '._S3rver_uploads');
  const server = createServer((request, response) => {
    world.requests.push(`${request.method} ${request.url}`);
    if (world.intercept?.(request, response)) return;
    if (!isSigned(request)) {
      request.resume();
      response.writeHead(403).end('<Error><Code>SignatureDoesNotMatch</Code></Error>');
      return;
    }
    const upload = /[?&]uploadId=([0-9a-f]+)/.exec(request.url ?? '')?.[1];
    if (request.method !== 'DELETE' || upload === undefined) {
      serve(request, response);
      return;
    }
    void rm(join(uploadsDirectory, upload), { recursive: true }).then(
      () => response.writeHead(204).end(),
      () => response.writeHead(404).end('<Error><Code>NoSuchUpload</Code></Error>'),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const world: TestS3 = {
    endpoint: `http://127.0.0.1:${port}`,
    bucket: BUCKET,
    requests: [],
    intercept: undefined,
    uploads: () => readdir(uploadsDirectory).catch(() => []),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(directory, { recursive: true });
    },
  };
  return world;
}

/** AWS Signature Version 4, with our secret and for our region; the body by the digest that the headers name. */
function isSigned(request: IncomingMessage): boolean {
  const header = request.headers.authorization ?? '';
  const given = /Credential=(.+?)\/(.+?), SignedHeaders=(.+?), Signature=(.+)$/.exec(header);
  const [, id, scope = '', names = '', signature] = given ?? [];
  const [day = '', region = '', service = '', last = ''] = scope.split('/');
  if (id !== ACCESS_KEY || region !== REGION) return false;
  const [path = '', query = ''] = (request.url ?? '').split('?');
  const parameters = query.split('&').filter((each) => each !== '');
  const canonical = [
    request.method,
    path,
    parameters
      .map((each) => (each.includes('=') ? each : `${each}=`))
      .sort()
      .join('&'),
    ...names.split(';').map((name) => `${name}:${String(request.headers[name]).trim()}`),
    '',
    names,
    request.headers['x-amz-content-sha256'],
  ].join('\n');
  const digest = createHash('sha256').update(canonical).digest('hex');
  const text = ['AWS4-HMAC-SHA256', request.headers['x-amz-date'], scope, digest].join('\n');
  let key: string | Buffer = `AWS4${ACCESS_KEY}`;
  for (const part of [day, region, service, last, text]) {
    key = createHmac('sha256', key).update(part).digest();
  }
  return key.toString('hex') === signature;
}
