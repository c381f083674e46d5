import type { Queries } from '../../platform/postgres.ts';
import { mustTarget, refuse, send, type Sender } from './outgoing.ts';

type Options = Sender & { messageId: number; body: string };

/**
 * A text of ours gets other words, within fifteen minutes. The row is what is to be sent; the message changes once it
 * was. Gives the row, JSON text; three statements. @throws ClarinError not_found (the message), unprocessable, conflict.
 */
export function editMessage(tx: Queries, options: Options): Promise<string> {
  const { messageId, body, ...sender } = options;
  return send(tx, sender, { targetId: messageId }, (place) => {
    const target = mustTarget(place);
    if (!target.isFromMe) refuse('not_own');
    if (target.type !== 'text') refuse('not_text');
    if (!target.isRecent) refuse('too_old');
    return { type: 'edit', body, target };
  });
}
