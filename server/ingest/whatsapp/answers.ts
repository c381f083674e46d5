import type { BinaryNode, WASocket } from '@whiskeysockets/baileys';

/** WhatsApp's answer to a message of ours. */
export type Answer = {
  /** RFC 3339. */
  readonly at: string | undefined;
  /** The number of what is wrong; undefined: WhatsApp has it. */
  readonly error: string | undefined;
};

const EVENT = 'CB:ack,class:message';

/**
 * Hears WhatsApp's answers to what was sent by one socket. Baileys tells of those alone that are errors, later, and by
 * an event that it may hold back.
 */
export class Answers {
  readonly #socket: Pick<WASocket, 'ws'>;
  /** By stanza id. */
  readonly #awaited = new Map<string, (answer: Answer) => void>();
  readonly #hear = (node: BinaryNode): void => {
    const { id = '', t, error } = node.attrs;
    const onAnswer = this.#awaited.get(id);
    if (!onAnswer) return;
    this.#awaited.delete(id);
    const seconds = Number(t);
    const at = seconds > 0 ? new Date(seconds * 1_000).toISOString() : undefined;
    onAnswer({ at, error });
  };

  constructor(socket: Pick<WASocket, 'ws'>) {
    this.#socket = socket;
    socket.ws.on(EVENT, this.#hear);
  }

  /** Before it is sent: the answer may be here before the sending is over. */
  expect(stanzaId: string, onAnswer: (answer: Answer) => void): void {
    this.#awaited.set(stanzaId, onAnswer);
  }

  /** False: it was answered already. */
  forget(stanzaId: string): boolean {
    return this.#awaited.delete(stanzaId);
  }

  stop(): void {
    this.#socket.ws.off(EVENT, this.#hear);
    this.#awaited.clear();
  }
}
