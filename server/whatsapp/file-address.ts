import type { proto } from '@whiskeysockets/baileys';
import type { MediaKind } from './build-content.ts';

/** A file at WhatsApp's, as a message names it. */
export type FetchableFile = {
  readonly kind: MediaKind;
  readonly mediaKey: Uint8Array;
  readonly url: string | undefined;
  readonly directPath: string | undefined;
  readonly fileSha256: Uint8Array | undefined;
  readonly mimetype: string | undefined;
};

/** Undefined: the message has no file, or no key to it. */
export function fetchableOf(message: proto.IMessage | null | undefined): FetchableFile | undefined {
  const candidates = [
    ['image', message?.imageMessage],
    ['video', message?.videoMessage ?? message?.ptvMessage],
    ['audio', message?.audioMessage],
    ['document', message?.documentMessage],
    ['sticker', message?.stickerMessage],
  ] as const;
  for (const [kind, file] of candidates) {
    if (!file?.mediaKey?.length) continue;
    return {
      kind,
      mediaKey: file.mediaKey,
      url: file.url ?? undefined,
      directPath: file.directPath ?? undefined,
      fileSha256: file.fileSha256?.length ? file.fileSha256 : undefined,
      mimetype: file.mimetype ?? undefined,
    };
  }
  return undefined;
}

const HOST = 'mmg.whatsapp.net';
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/;

/**
 * Where a file is fetched from. The message was written by whoever sent it, and names any place it likes: we go to
 * WhatsApp's own hosts and nowhere else, over TLS and at its port. A fake WhatsApp is on this machine, at any port.
 * Undefined: there is no such place.
 */
export function fileAddress(
  { url, directPath }: Pick<FetchableFile, 'url' | 'directPath'>,
  { isFake }: { isFake: boolean },
): URL | undefined {
  const named = url !== undefined && URL.canParse(url) ? new URL(url) : undefined;
  const own = named && isAllowed(named, isFake) ? named : undefined;
  if (!directPath?.startsWith('/')) return own;
  const origin = own?.origin ?? `https://${HOST}`;
  const address = URL.canParse(`${origin}${directPath}`) ? new URL(`${origin}${directPath}`) : own;
  return address && isAllowed(address, isFake) ? address : undefined;
}

function isAllowed(
  { protocol, hostname, port, username, password }: URL,
  isFake: boolean,
): boolean {
  if (username !== '' || password !== '') return false;
  if (isFake && LOOPBACK.test(hostname)) return protocol === 'https:' || protocol === 'http:';
  const isTheirs = hostname === 'whatsapp.net' || hostname.endsWith('.whatsapp.net');
  return isTheirs && protocol === 'https:' && port === '';
}
