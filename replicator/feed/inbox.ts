import {
  CLIENT_FRAMES_BURST,
  CLIENT_FRAMES_PER_SECOND,
  CLOSE,
  type ClientMessage,
} from '../../domain/feed-protocol.ts';
import type { ErrorCode } from '../../domain/errors.ts';
import { parseClientFrame } from './client-frame.ts';
import { INBOX_BYTES_MAX } from './limits.ts';
import { TokenBucket } from './token-bucket.ts';

export type Hello = Extract<ClientMessage, { type: 'hello' }>;
export type ClientRequest = Exclude<ClientMessage, { type: 'hello' }>;

type Options = {
  readonly nowMs: () => number;
  readonly onHello: (hello: Hello) => void;
  readonly onRequest: (request: ClientRequest) => Promise<void>;
  /** The socket is to be told why and closed with this code. */
  readonly onOffence: (code: ErrorCode, message: string, close: number) => void;
};

/**
 * What a client sends, within limits and one after the other: hello first and once, and each request done before the
 * next. Requests sent together with hello wait until start().
 */
export class Inbox {
  readonly #options: Options;
  readonly #frames: TokenBucket;
  #hasHello = false;
  #isStarted = false;
  #isWorking = false;
  #waiting: ClientRequest[] = [];
  #waitingBytes = 0;

  constructor(options: Options) {
    this.#options = options;
    this.#frames = new TokenBucket({
      perSecond: CLIENT_FRAMES_PER_SECOND,
      burst: CLIENT_FRAMES_BURST,
      nowMs: options.nowMs(),
    });
  }

  /** `bytes` are only lent: they are read before this returns. */
  receive(bytes: ArrayBuffer, isBinary: boolean): void {
    const { nowMs, onHello, onOffence } = this.#options;
    if (!this.#frames.take(nowMs())) {
      return onOffence(
        'rate_limited',
        `at most ${CLIENT_FRAMES_PER_SECOND} frames a second`,
        CLOSE.tooMany,
      );
    }
    const parsed = parseClientFrame(bytes, isBinary);
    if ('problem' in parsed) return onOffence('invalid_request', parsed.problem, CLOSE.protocol);
    const { message } = parsed;
    if (message.type === 'hello') {
      if (!this.#hasHello) {
        this.#hasHello = true;
        return onHello(message);
      }
      const says = 'hello has been said already; send a fresh token with "auth"';
      return onOffence('invalid_request', says, CLOSE.protocol);
    }
    if (!this.#hasHello)
      return onOffence('invalid_request', 'the first message is "hello"', CLOSE.protocol);
    this.#waitingBytes += bytes.byteLength;
    if (this.#waitingBytes > INBOX_BYTES_MAX) {
      return onOffence(
        'rate_limited',
        'too much was sent before it could be answered',
        CLOSE.tooMany,
      );
    }
    this.#waiting.push(message);
    void this.#work();
  }

  /** Hello has been answered: requests may be, too. */
  start(): void {
    this.#isStarted = true;
    void this.#work();
  }

  end(): void {
    this.#isStarted = false;
    this.#waiting = [];
  }

  /** Never throws: onRequest does not. */
  async #work(): Promise<void> {
    if (this.#isWorking || !this.#isStarted) return;
    this.#isWorking = true;
    for (let request = this.#waiting.shift(); request; request = this.#waiting.shift()) {
      if (this.#waiting.length === 0) this.#waitingBytes = 0;
      await this.#options.onRequest(request);
    }
    this.#isWorking = false;
  }
}
