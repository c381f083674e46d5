import { Readable } from 'node:stream';
import { decryptFile } from './decrypt-file.ts';
import type { FetchableFile } from './file-address.ts';

/** WhatsApp does not have the file (any more): only the phone can bring it back. */
export class FileGone extends Error {
  readonly status: number;
  constructor(status: number) {
    super(`WhatsApp does not have the file (${status})`);
    this.name = 'FileGone';
    this.status = status;
  }
}

/** It keeps them for two or three weeks; an address whose time is over is forbidden. */
const GONE = [403, 404, 410];
/** For all of it: the largest one over a slow line. */
const TIMEOUT_MS = 15 * 60_000;

/**
 * A file of WhatsApp's, decrypted while it comes. Its stream is to be read to its end or destroyed. No redirect is
 * followed: an address that was looked at is the one that is asked.
 * @throws FileGone, Error; the stream DamagedFile and whatever ends the connection.
 */
export async function fetchFile(
  address: URL,
  file: FetchableFile,
  signal: AbortSignal,
): Promise<Readable> {
  const response = await fetch(address, {
    redirect: 'error',
    headers: { origin: 'https://web.whatsapp.com' },
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  const { status, body } = response;
  if (response.ok && body) return Readable.from(decryptFile(body, file), { objectMode: false });
  await body?.cancel();
  if (GONE.includes(status)) throw new FileGone(status);
  throw new Error(`a host for files answered ${status}`);
}
