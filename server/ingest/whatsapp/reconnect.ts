import type { Closed, History, Phase } from './judge-close.ts';

/** A socket that was open for so long has proven that everything is well. */
const PROVEN_MS = 60_000;
const REPLACEMENTS_WITHIN_MS = 10 * 60_000;

/** What a device has been through, from socket to socket. Times are of a clock that never jumps, in milliseconds. */
export class Reconnects {
  #attempts = 0;
  #badSessions = 0;
  #replacedAt: number[] = [];
  #openedAt: number | undefined;

  opened(nowMs: number): void {
    this.#openedAt = nowMs;
  }

  /** The socket ended; gives what has happened until now, with this. */
  closed(closed: Closed, phase: Phase, nowMs: number): History {
    const openMs = this.#openedAt === undefined ? 0 : nowMs - this.#openedAt;
    this.#openedAt = undefined;
    // Not when it opens: a session that ends with each login would be tried as often as one can.
    if (openMs >= PROVEN_MS) {
      this.#attempts = 0;
      this.#badSessions = 0;
    }
    const statusCode = closed.kind === 'closed' ? closed.statusCode : undefined;
    if (statusCode === 440) this.#replacedAt.push(nowMs);
    this.#replacedAt = this.#replacedAt.filter((at) => nowMs - at < REPLACEMENTS_WITHIN_MS);
    this.#badSessions =
      statusCode === 500 && phase !== 'pairing' && openMs < PROVEN_MS ? this.#badSessions + 1 : 0;
    this.#attempts++;
    return {
      attempts: this.#attempts,
      badSessions: this.#badSessions,
      replacements: this.#replacedAt.length,
    };
  }
}
