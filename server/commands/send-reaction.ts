import type { Queries } from '../../platform/postgres.ts';
import { mustTarget, send, type Sender } from './outgoing.ts';

/** `emoji` null: ours is taken back. */
type Options = Sender & { messageId: number; emoji: string | null };

/**
 * We react to a message. The row is what is to be sent; the reaction itself shows once it was. Gives the row, JSON text;
 * three statements. @throws ClarinError not_found (the message), unprocessable, conflict.
 */
export function sendReaction(tx: Queries, options: Options): Promise<string> {
  const { messageId, emoji, ...sender } = options;
  return send(tx, sender, { targetId: messageId }, (place) => ({
    type: 'reaction',
    body: emoji ?? '',
    target: mustTarget(place),
  }));
}
