import type { WebSocket } from 'uWebSockets.js';
import { CLOSE, SOCKET_BACKLOG_BYTES_MAX, type ServerMessage } from '../../domain/feed-protocol.ts';
import type { Metrics } from '../../platform/metrics.ts';
import { encodeMessage } from './frame.ts';
import { DRAIN_TIMEOUT_MS, HISTORY_BACKLOG_BYTES, TURN_BYTES_MAX } from './limits.ts';

/**
 * `queued`: will be sent by flush(); `later`: too much for this turn, read it from the log; `too slow`: the reader has
 * not taken what it got, close it.
 */
export type Offer = 'queued' | 'later' | 'too slow';

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
  #isOpen = true;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  #waiters: ((isOpen: boolean) => void)[] = [];
  #progressAtMs = 0;

  constructor(options: { ws: WebSocket<unknown>; metrics: Metrics }) {
    this.#ws = options.ws;
    this.#metrics = options.metrics;
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
    if (this.backlogBytes + bytes > SOCKET_BACKLOG_BYTES_MAX) return 'too slow';
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
    // Cannot happen while our limit is below the native one; if it ever does, nothing may follow the gap.
    if (isDropped) this.#ws.close();
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
  async writable(nowMs: number): Promise<boolean> {
    while (this.#isOpen && this.backlogBytes > HISTORY_BACKLOG_BYTES) {
      if (this.#waiters.length === 0) this.#progressAtMs = nowMs;
      await new Promise<boolean>((resolve) => this.#waiters.push(resolve));
    }
    return this.#isOpen;
  }

  /** uWebSockets.js has handed some of the backlog to the kernel. */
  onDrain(nowMs: number): void {
    this.#progressAtMs = nowMs;
    if (this.#ws.getBufferedAmount() <= HISTORY_BACKLOG_BYTES) this.#wake();
  }

  isStalled(nowMs: number): boolean {
    return this.#waiters.length > 0 && nowMs - this.#progressAtMs > DRAIN_TIMEOUT_MS;
  }

  /** What was accepted is still sent, then the close frame. Runs onClosed() before it returns. */
  close(code: number, reason: string): void {
    if (!this.#isOpen) return;
    this.flush();
    if (!this.#isOpen) return;
    this.#metrics.feedCloses.inc({ code: String(code) });
    if (code === CLOSE.tooSlow) this.#metrics.slowCloses.inc();
    this.#ws.end(code, reason);
  }

  /** The socket is gone, whoever closed it: from here on its native object must not be touched. */
  onClosed(): void {
    this.#isOpen = false;
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
