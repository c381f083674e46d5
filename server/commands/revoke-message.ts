import type { Queries } from '../../platform/postgres.ts';
import { mustTarget, refuse, send, type Sender } from './outgoing.ts';

type Options = Sender & { messageId: number };

/**
 * A message of ours is taken back for everybody. The row is what is to be sent; the message is emptied once it was.
 * Gives the row, JSON text; three statements. @throws ClarinError not_found (the message), unprocessable, conflict.
 */
export function revokeMessage(tx: Queries, options: Options): Promise<string> {
  const { messageId, ...sender } = options;
  return send(tx, sender, { targetId: messageId }, (place) => {
    const target = mustTarget(place);
    if (!target.isFromMe) refuse('not_own');
    return { type: 'revoke', target };
  });
}
