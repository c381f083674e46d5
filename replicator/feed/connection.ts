import type { WebSocket } from 'uWebSockets.js';
import { CLOSE, SOCKET_BACKLOG_BYTES_MAX, type ServerMessage } from '../../domain/feed-protocol.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { BacklogBudget } from './backlog-budget.ts';
import { encodeMessage } from './frame.ts';
import { DRAIN_TIMEOUT_MS, HISTORY_BACKLOG_BYTES, TURN_BYTES_MAX } from './limits.ts';

/**
 * `queued`: will be sent by flush(); `later`: too much for this turn, or for a reader that is behind while many are, read
 * it from the log; `too slow`: the reader has not taken what it got, close it.
 */
export type Offer = 'queued' | 'later' | 'too slow';

/** Whoever is closed with these may not have what still waits for him. */
const NO_LONGER_HIS: readonly number[] = [CLOSE.unauthenticated, CLOSE.forbidden];

/** Native close code of a refused frame: uWebSockets.js cut the socket itself. */
const SENT_DROPPED = 2;

/**
 * One socket and what waits in it. Whether bytes fit is decided here, before they are sent, because uWebSockets.js
 * drops frames in silence above its own limit (hazards H19): that limit is set to twice ours and never reached, so
 * everything that was accepted is sent, in order, and a close frame still fits behind it.
 */
export class Connection {
  readonly #ws: WebSocket<unknown>;
  readonly #metrics: Metrics;
  readonly #budget: BacklogBudget;
  /** What of it the budget knows. */
  #countedBytes = 0;
  #isOpen = true;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #waiters: ((isOpen: boolean) => void)[] = [];
  /** Since when bytes wait of which nothing is taken, looked at by isStalled(). */
  #stuckSinceMs: number | undefined;

  constructor(options: { ws: WebSocket<unknown>; metrics: Metrics; budget: BacklogBudget }) {
    this.#ws = options.ws;
    this.#metrics = options.metrics;
    this.#budget = options.budget;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Bytes the reader has not taken yet. */
  get backlogBytes(): number {
    return this.#isOpen ? this.#ws.getBufferedAmount() + this.#queuedBytes : 0;
  }

  /** All frames of one commit or none of them. */
  offer(frames: readonly Buffer[], bytes: number): Offer {
    if (!this.#isOpen) return 'queued';
    const waiting = this.#ws.getBufferedAmount();
    if (waiting + this.#queuedBytes + bytes > SOCKET_BACKLOG_BYTES_MAX) return 'too slow';
    if (waiting > 0 && waiting + bytes > this.#budget.limitBytes) return 'later';
    if (this.#queuedBytes + bytes > TURN_BYTES_MAX) return 'later';
    this.#queue.push(...frames);
    this.#queuedBytes += bytes;
    return 'queued';
  }

  /** Sends what was offered, in one go: frames of one turn leave in as few system calls as possible. */
  flush(): void {
    const queue = this.#queue;
    if (!this.#isOpen || queue.length === 0) return;
    this.#metrics.feedMessages.inc(queue.length);
    this.#metrics.feedBytes.inc(this.#queuedBytes);
    this.#queue = [];
    this.#queuedBytes = 0;
    let isDropped = false;
    this.#ws.cork(() => {
      for (const frame of queue)
        isDropped = this.#ws.send(frame, false) === SENT_DROPPED || isDropped;
    });
    this.#count();
    // Cannot happen while our limit is below the native one; if it ever does, nothing may follow the gap.
    if (isDropped) this.#ws.close();
  }

  #count(): void {
    const waiting = this.#isOpen ? this.#ws.getBufferedAmount() : 0;
    this.#budget.change(waiting - this.#countedBytes);
    this.#countedBytes = waiting;
  }

  /** A message of the protocol, behind whatever was offered before it. */
  send(message: ServerMessage): void {
    this.sendFrame(encodeMessage(message));
  }

  sendFrame(frame: Buffer): void {
    if (!this.#isOpen) return;
    if (this.backlogBytes + frame.length > SOCKET_BACKLOG_BYTES_MAX) {
      this.close(CLOSE.tooSlow, 'too slow: reconnect and resume from your cursor');
      return;
    }
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    this.flush();
  }

  /** Resolves when history may send on; false when the socket is closed. */
  async writable(): Promise<boolean> {
    while (this.#isOpen && !this.hasRoom) {
      await new Promise<boolean>((resolve) => this.#waiters.push(resolve));
    }
    return this.#isOpen;
  }

  /** For more of history. */
  get hasRoom(): boolean {
    const { backlogBytes } = this;
    return (
      backlogBytes === 0 || backlogBytes <= Math.min(HISTORY_BACKLOG_BYTES, this.#budget.limitBytes)
    );
  }

  /** uWebSockets.js has handed some of the backlog to the kernel. */
  onDrain(): void {
    this.#stuckSinceMs = undefined;
    this.#count();
    if (this.hasRoom) this.#wake();
  }

  /** Asked several times a second: whether its reader has taken nothing of what waits for him for too long. */
  isStalled(nowMs: number): boolean {
    if (this.#countedBytes === 0) this.#stuckSinceMs = undefined;
    else this.#stuckSinceMs ??= nowMs;
    return this.#stuckSinceMs !== undefined && nowMs - this.#stuckSinceMs > DRAIN_TIMEOUT_MS;
  }

  /**
   * What was accepted is still sent, then the close frame; cut off without either where bytes wait that he may no longer
   * have, or when the server has no room for what waits. Runs onClosed() before it returns.
   */
  close(code: number, reason: string): void {
    if (!this.#isOpen) return;
    this.flush();
    if (!this.#isOpen) return;
    this.#metrics.feedCloses.inc({ code: String(code) });
    if (code === CLOSE.tooSlow) this.#metrics.slowCloses.inc();
    const waiting = this.#ws.getBufferedAmount();
    if (waiting > 0 && (NO_LONGER_HIS.includes(code) || this.#budget.limitBytes === 0)) {
      this.#ws.close();
      return;
    }
    if (waiting > 0) this.#budget.linger(waiting);
    this.#ws.end(code, reason);
  }

  /** The socket is gone, whoever closed it: from here on its native object must not be touched. */
  onClosed(): void {
    this.#isOpen = false;
    this.#count();
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiters) resolve(this.#isOpen);
  }
}
