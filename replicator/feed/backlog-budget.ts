import { SOCKET_BACKLOG_BYTES_MAX } from '../../domain/feed-protocol.ts';
import { BACKLOG_BYTES_MAX, BACKLOG_SHARES, SLOW_CLOSE_LINGER_MS } from './limits.ts';

/**
 * Bytes that wait in all sockets of a server together. A few that stall may hold what one socket may hold; the more of
 * them there are, the less each is given before it is served from the log at its own pace: every one may wait for an eighth of
 * what is free, so that n of them come to rest at a share of n + 8 (decision 0051). A socket that takes what it is
 * sent never notices.
 */
export class BacklogBudget {
  readonly #bytesMax: number;
  readonly #lingering = new Set<NodeJS.Timeout>();
  #bytes = 0;

  constructor(bytesMax = BACKLOG_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What may wait in a socket that does not take what it is sent; 0 when nothing is left. */
  get limitBytes(): number {
    const free = Math.max(0, this.#bytesMax - this.#bytes);
    return Math.min(SOCKET_BACKLOG_BYTES_MAX, Math.floor(free / BACKLOG_SHARES));
  }

  change(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Of a socket that is closed, whose bytes and close frame may still be taken. */
  linger(bytes: number): void {
    this.#bytes += bytes;
    const timer = setTimeout(() => {
      this.#lingering.delete(timer);
      this.#bytes -= bytes;
    }, SLOW_CLOSE_LINGER_MS);
    timer.unref();
    this.#lingering.add(timer);
  }

  /** Nothing is left to fire. */
  stop(): void {
    for (const timer of this.#lingering) clearTimeout(timer);
    this.#lingering.clear();
  }
}
