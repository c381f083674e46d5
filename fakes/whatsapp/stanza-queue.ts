import type { BinaryNode } from '@whiskeysockets/baileys';
import type { Bundle } from './signal-party.ts';
import { WorldError } from './world-error.ts';

export type StanzaClass = 'message' | 'receipt' | 'notification' | 'call';

/** One stanza to a device, from when it is written until long after the device has said that it has it. */
export type Stanza = {
  /** 1 for the first to this device: the order in which they were written. */
  readonly number: number;
  readonly class: StanzaClass;
  readonly id: string;
  readonly from: string;
  /** Of receipts `read`, of messages `text`. */
  readonly type: string | undefined;
  readonly atMs: number;
  timesSent: number;
  /** What ended it; undefined while the device has not said anything. */
  settled: Settled | undefined;
  /** How often the device has said that it cannot read it. */
  retries: number;
};

export type Settled = {
  /** `receipt`: it has it. `ack`: it knows of it. `nack`: it refuses it. */
  readonly by: 'receipt' | 'ack' | 'nack';
  /** The receipt's type, the nack's error. */
  readonly detail: string | undefined;
  readonly atMs: number;
};

/** Makes the stanza anew, encrypted with a session that begins with it. */
export type Rewrite = (retry: {
  count: number;
  bundle?: Bundle | undefined;
}) => Promise<BinaryNode>;

type Entry = {
  readonly stanza: Stanza;
  node: BinaryNode;
  readonly rewrite: Rewrite | undefined;
  /** Asked for again: sent when it is written anew and the refusal that goes with the request has come. */
  again: { isRewritten: boolean; isRefused: boolean } | undefined;
};

const WAITING_MAX = 50_000;
const KEPT_MAX = 20_000;

/**
 * What is on its way to one device. As with WhatsApp's server a stanza stays until the device's receipt, acknowledgement or
 * refusal of it has come, over any number of connections. Those that are settled are kept for questions, without their
 * content, the last KEPT_MAX of them.
 */
export class StanzaQueue {
  readonly #waiting = new Map<number, Entry>();
  #settled: Stanza[] = [];
  #count = 0;

  /** @throws WorldError when WAITING_MAX are waiting. */
  add(node: BinaryNode, stanzaClass: StanzaClass, rewrite?: Rewrite): Stanza {
    if (this.#waiting.size >= WAITING_MAX) throw new WorldError('the device has too much to read');
    this.#count += 1;
    const stanza: Stanza = {
      number: this.#count,
      class: stanzaClass,
      id: node.attrs['id'] ?? '',
      from: node.attrs['from'] ?? '',
      type: node.attrs['type'],
      atMs: Date.now(),
      timesSent: 0,
      settled: undefined,
      retries: 0,
    };
    this.#waiting.set(stanza.number, { stanza, node, rewrite, again: undefined });
    return stanza;
  }

  /** What is to be sent over a new connection, in the order in which it was written. */
  replay(): { stanza: Stanza; node: BinaryNode }[] {
    const entries = [...this.#waiting.values()];
    for (const entry of entries) entry.again = undefined;
    return entries;
  }

  nodeOf(stanza: Stanza): BinaryNode | undefined {
    return this.#waiting.get(stanza.number)?.node;
  }

  /**
   * The device's word on a stanza. The refusal that goes with a request for it again ends nothing: then `again` is what is
   * to be sent now, if it is written already.
   */
  settle(
    which: { class: StanzaClass; id: string; type?: string | undefined },
    settled: Settled,
  ): { again: Stanza | undefined } {
    const entry = this.#find(which);
    if (!entry) return { again: undefined };
    const { stanza, again } = entry;
    if (again && settled.by !== 'receipt') {
      again.isRefused = true;
      return { again: again.isRewritten ? stanza : undefined };
    }
    stanza.settled = settled;
    this.#waiting.delete(stanza.number);
    this.#settled.push(stanza);
    if (this.#settled.length > KEPT_MAX * 1.1) this.#settled = this.#settled.slice(-KEPT_MAX);
    return { again: undefined };
  }

  /** The device cannot read it. What is to be called to write it anew; undefined when it is not waiting. */
  askAgain(id: string): { stanza: Stanza; rewrite: Rewrite } | undefined {
    const entry = this.#find({ class: 'message', id });
    if (!entry?.rewrite) return undefined;
    entry.stanza.retries += 1;
    entry.again = { isRewritten: false, isRefused: false };
    return { stanza: entry.stanza, rewrite: entry.rewrite };
  }

  /** True when it is to be sent now. */
  replace(stanza: Stanza, node: BinaryNode): boolean {
    const entry = this.#waiting.get(stanza.number);
    if (!entry) return false;
    entry.node = node;
    if (!entry.again) return true;
    entry.again.isRewritten = true;
    return entry.again.isRefused;
  }

  /** It was given to a connection. */
  noteSent(stanza: Stanza): void {
    stanza.timesSent += 1;
    const entry = this.#waiting.get(stanza.number);
    if (entry) entry.again = undefined;
  }

  /** Waiting and settled ones, oldest first. */
  list(): Stanza[] {
    const all = [...this.#settled, ...[...this.#waiting.values()].map(({ stanza }) => stanza)];
    return all.toSorted((one, other) => one.number - other.number);
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  #find(which: { class: StanzaClass; id: string; type?: string | undefined }): Entry | undefined {
    for (const entry of this.#waiting.values()) {
      const { stanza } = entry;
      if (stanza.class !== which.class || stanza.id !== which.id) continue;
      if (which.class !== 'receipt' || stanza.type === which.type) return entry;
    }
    return undefined;
  }
}
