import {
  getBinaryNodeChild,
  getBinaryNodeChildren,
  S_WHATSAPP_NET,
  type WASocket,
} from '@whiskeysockets/baileys';
import { SEND_REFUSALS, SendFault } from './judge-send.ts';

/** Where files are uploaded to, and by which right. */
export type MediaHosts = {
  readonly auth: string;
  readonly hosts: readonly {
    /** With a port, where it is another than HTTPS'. */
    readonly hostname: string;
    /** Undefined: nothing was said. */
    readonly bytesMax: number | undefined;
  }[];
};

type Means = {
  readonly socket: Pick<WASocket, 'query'>;
  /** Milliseconds since some moment. */
  readonly elapsed: () => number;
};

/**
 * Asks WhatsApp for them and keeps the answer for as long as it says; `isStale` asks anew. Baileys has the same, but keeps
 * a failure too: after one question without an answer no file could be uploaded until the socket is another one.
 */
export function createMediaHosts({
  socket,
  elapsed,
}: Means): (options?: { isStale: boolean }) => Promise<MediaHosts> {
  let known: { readonly value: MediaHosts; readonly until: number } | undefined;
  return async ({ isStale } = { isStale: false }) => {
    if (known && !isStale && elapsed() < known.until) return known.value;
    const answer = await socket.query({
      tag: 'iq',
      attrs: { type: 'set', xmlns: 'w:m', to: S_WHATSAPP_NET },
      content: [{ tag: 'media_conn', attrs: {} }],
    });
    // Undefined: no answer in time.
    const node = answer && getBinaryNodeChild(answer, 'media_conn');
    const hosts = node ? getBinaryNodeChildren(node, 'host') : [];
    if (!node || hosts.length === 0) throw new SendFault(SEND_REFUSALS.not_uploaded);
    const value = {
      auth: node.attrs['auth'] ?? '',
      hosts: hosts.map(({ attrs }) => ({
        hostname: attrs['hostname'] ?? '',
        bytesMax: Number(attrs['maxContentLengthBytes']) || undefined,
      })),
    };
    known = { value, until: elapsed() + (Number(node.attrs['ttl']) || 0) * 1_000 };
    return value;
  };
}
