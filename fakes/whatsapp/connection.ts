import {
  decodeBinaryNode,
  encodeBinaryNode,
  type BinaryNode,
  type KeyPair,
  type proto,
} from '@whiskeysockets/baileys';
import type { WebSocket } from 'ws';
import type { LinkedDevice } from './linked-device.ts';
import { NoiseServer, type Finished } from './noise.ts';

export type ConnectionEvents = {
  /** After the handshake: a login, or somebody who wants to be linked. */
  onFinished(connection: Connection, finished: Finished): void;
  onNode(connection: Connection, node: BinaryNode): void | Promise<void>;
  /** It sent what cannot be read, or the fake has a mistake; the connection is closed. */
  onError(connection: Connection, error: unknown): void;
  onClosed(connection: Connection): void;
  onSent(connection: Connection, node: BinaryNode): void;
  isSilentAtHandshake(): boolean;
};

/** One WebSocket: handshake, then stanzas, handled one after the other in the order in which they came. */
export class Connection {
  readonly number: number;
  readonly openedAtMs = Date.now();
  /** From the login on. */
  device: LinkedDevice | undefined;
  /** Says that it is active: what waited for it has been sent, and what is written is sent at once. */
  isActive = false;
  /** Nothing is said any more, nothing answered. */
  isSilent = false;
  payload: proto.ClientPayload | undefined;
  clientKey: Buffer | undefined;
  readonly #socket: WebSocket;
  readonly #noise = new NoiseServer();
  readonly #events: ConnectionEvents;
  #state: 'hello' | 'finish' | 'open' = 'hello';
  #handled: Promise<void> = Promise.resolve();

  constructor(
    socket: WebSocket,
    options: { number: number; root: KeyPair; events: ConnectionEvents },
  ) {
    this.number = options.number;
    this.#socket = socket;
    this.#events = options.events;
    socket.on('message', (bytes: Buffer) => {
      this.#handled = this.#handled
        .then(() => this.#read(bytes, options.root))
        .catch((error: unknown) => {
          options.events.onError(this, error);
          this.reset();
        });
    });
    socket.on('error', () => undefined);
    socket.on('close', () => options.events.onClosed(this));
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  send(node: BinaryNode): void {
    if (this.isSilent || !this.isOpen || this.#state !== 'open') return;
    this.#events.onSent(this, node);
    this.#socket.send(this.#noise.seal(encodeBinaryNode(node)));
  }

  /** Says a last word, and closes. */
  end(node: BinaryNode): void {
    this.send(node);
    this.close();
  }

  close(): void {
    this.#socket.close();
  }

  /** Without a word, as when a cable is cut. */
  reset(): void {
    this.#socket.terminate();
  }

  async #read(bytes: Buffer, root: KeyPair): Promise<void> {
    for (const frame of this.#noise.take(bytes)) {
      if (this.#state === 'hello') {
        if (this.#events.isSilentAtHandshake()) {
          this.isSilent = true;
          return;
        }
        if (this.isSilent) return;
        this.#socket.send(this.#noise.greet(frame, root));
        this.#state = 'finish';
      } else if (this.#state === 'finish') {
        const finished = this.#noise.finish(frame);
        this.#state = 'open';
        this.payload = finished.payload;
        this.clientKey = finished.clientKey;
        this.#events.onFinished(this, finished);
      } else {
        const node = await decodeBinaryNode(this.#noise.open(frame));
        await this.#events.onNode(this, node);
      }
    }
  }
}
