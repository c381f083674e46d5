import type { Queries } from '../../platform/postgres.ts';
import { send, type Sender } from './outgoing.ts';

type Options = Sender & {
  chatId: number;
  question: string;
  /** Their names, each once. */
  options: readonly string[];
  /** How many of them one may choose; 0: any number. */
  selectable: number;
};

/**
 * A poll is to be sent: its question is the body, votes come as rows of poll_votes. Gives its row, JSON text; three
 * statements. @throws ClarinError not_found (the chat), unprocessable, conflict.
 */
export function sendPoll(tx: Queries, poll: Options): Promise<string> {
  const { chatId, question, options, selectable, ...sender } = poll;
  return send(tx, sender, { chatId }, () => ({
    type: 'poll',
    body: question,
    poll: { options, selectable_count: selectable },
  }));
}
