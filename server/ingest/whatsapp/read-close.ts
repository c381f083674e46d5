import type { Closed } from './judge-close.ts';
import { SessionOver } from './device-session.ts';

type Node = { readonly tag?: unknown; readonly attrs?: { readonly type?: unknown } };

/**
 * What Baileys gives for why a socket ended: an error of @hapi/boom with WhatsApp's number, and the stanza that said it as
 * `data`. An exception of this process has no number.
 */
export function readClose(error: unknown): Closed {
  if (error instanceof SessionOver) return { kind: 'store', reason: error.reason };
  const { output, data } = (error ?? {}) as {
    output?: { statusCode?: unknown };
    data?: Node;
  };
  const statusCode = output?.statusCode;
  const type = data?.tag === 'conflict' ? data.attrs?.type : undefined;
  return {
    kind: 'closed',
    statusCode: typeof statusCode === 'number' ? statusCode : undefined,
    message: error instanceof Error ? error.message : '',
    conflict: typeof type === 'string' ? type : undefined,
  };
}
