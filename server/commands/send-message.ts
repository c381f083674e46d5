import type { Queries } from '../../platform/postgres.ts';
import { mustQuote, send, type Sender } from './outgoing.ts';

type Options = Sender & {
  chatId: number;
  body: string;
  /** The message of this chat that it answers. */
  replyTo?: number | undefined;
};

/**
 * A text is to be sent, as an answer to a message where one is named. Gives its row, JSON text; three statements.
 * @throws ClarinError not_found (the chat), unprocessable, conflict.
 */
export function sendMessage(tx: Queries, options: Options): Promise<string> {
  const { chatId, body, replyTo, ...sender } = options;
  return send(tx, sender, { chatId, targetId: replyTo }, (place) => ({
    type: 'text',
    body,
    quoted: replyTo === undefined ? undefined : mustQuote(place),
  }));
}
