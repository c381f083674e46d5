import type { Connection } from './connection.ts';
import type { LinkedDevice } from './linked-device.ts';

export type ConnectionCounts = {
  /** WebSockets that are open, logged in or not. */
  readonly open: number;
  /** The most at the same time. */
  readonly openMax: number;
  readonly opened: number;
  readonly logins: number;
  /** Logins of a device that had another connection open: two processes have it, or one forgot to close. */
  readonly doubles: number;
};

export type DeviceCounts = { readonly logins: number; readonly doubles: number };

/** Who is connected, and how often a device was there twice. */
export class Connections {
  readonly #open = new Set<Connection>();
  readonly #ofDevice = new Map<string, { logins: number; doubles: number }>();
  #openMax = 0;
  #opened = 0;
  #logins = 0;
  #doubles = 0;

  /** The number of the next one. */
  get next(): number {
    return this.#opened + 1;
  }

  add(connection: Connection): void {
    this.#opened += 1;
    this.#open.add(connection);
    this.#openMax = Math.max(this.#openMax, this.#open.size);
  }

  remove(connection: Connection): void {
    this.#open.delete(connection);
  }

  /** Counts the login; what is returned is open besides it, and to be replaced. */
  login(connection: Connection, device: LinkedDevice): Connection[] {
    const others = this.#of(device).filter((other) => other !== connection);
    const counts = this.#ofDevice.get(device.jid) ?? { logins: 0, doubles: 0 };
    counts.logins += 1;
    this.#logins += 1;
    if (others.length > 0) {
      counts.doubles += 1;
      this.#doubles += 1;
    }
    this.#ofDevice.set(device.jid, counts);
    connection.device = device;
    return others;
  }

  /** The one that is logged in as this device. */
  find(device: LinkedDevice): Connection | undefined {
    return this.#of(device).at(-1);
  }

  list(): Connection[] {
    return [...this.#open];
  }

  counts(): ConnectionCounts {
    return {
      open: this.#open.size,
      openMax: this.#openMax,
      opened: this.#opened,
      logins: this.#logins,
      doubles: this.#doubles,
    };
  }

  countsOf(device: LinkedDevice): DeviceCounts {
    return this.#ofDevice.get(device.jid) ?? { logins: 0, doubles: 0 };
  }

  #of(device: LinkedDevice): Connection[] {
    return [...this.#open].filter((each) => each.device === device && each.isOpen);
  }
}
