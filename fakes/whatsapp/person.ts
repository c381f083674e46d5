import type { proto } from '@whiskeysockets/baileys';
import { lidJid, phoneJid } from './addresses.ts';
import type { LinkedDevice } from './linked-device.ts';
import { SignalParty } from './signal-party.ts';

/**
 * How a person appears in stanzas: by LID with the phone beside it (what WhatsApp mostly does), by LID alone, by phone with
 * the LID beside it, by phone alone.
 */
export type Addressing = 'lid' | 'lid-only' | 'pn' | 'pn-only';

/** What people do when something arrives. Milliseconds after it; undefined: never. */
export type Habits = {
  readonly deliveredAfterMs: number | undefined;
  readonly readAfterMs: number | undefined;
  /** Of voice notes and videos. */
  readonly playedAfterMs: number | undefined;
};

/** What came to somebody's phone from a device, decrypted. */
export type Received = {
  readonly id: string;
  /** The device that sent it, `51999000001:3@s.whatsapp.net`. */
  readonly from: string;
  /** To whom: the person, as addressed, a group, and for what an own device wrote to somebody, that one. */
  readonly chat: string;
  /** An own device wrote it; this is the phone's copy. */
  readonly isOwn: boolean;
  readonly message: proto.IMessage;
  /** Attribute `edit` of the stanza: 1 an edit, 7 a revoke. */
  readonly edit: string | undefined;
  readonly atMs: number;
  /** How often the id arrived: WhatsApp shows it once. */
  times: number;
};

export type PersonInput = {
  /** Digits with country code. */
  readonly phone: string;
  /** Digits; by default made from the phone, and no phone itself. */
  readonly lid?: string | undefined;
  /** What the person calls himself; `notify` in stanzas. */
  readonly name?: string | undefined;
  readonly addressing?: Addressing | undefined;
  /** False: the server tells nobody the LID of this number. Default true. */
  readonly isLidKnown?: boolean | undefined;
  readonly habits?: Partial<Habits> | undefined;
};

const RECEIVED_MAX = 20_000;
const HABITS: Habits = {
  deliveredAfterMs: 0,
  readAfterMs: undefined,
  playedAfterMs: undefined,
};

/** Somebody with WhatsApp on a phone. Whoever scans a code has linked devices too. */
export class Person {
  readonly phone: string;
  lid: string;
  name: string;
  addressing: Addressing;
  isLidKnown: boolean;
  habits: Habits;
  /** Numbers that this person cannot decrypt at first, of each device so many: asks for them again. */
  failures = 0;
  readonly devices = new Map<number, LinkedDevice>();
  #signal: SignalParty | undefined;
  #received = new Map<string, Received>();
  #lane: Promise<unknown> = Promise.resolve();

  constructor(input: PersonInput) {
    this.phone = input.phone;
    this.lid = input.lid ?? `1${input.phone.slice(-9)}00007`.padStart(15, '9');
    this.name = input.name ?? `Persona ${input.phone.slice(-4)}`;
    this.addressing = input.addressing ?? 'lid';
    this.isLidKnown = input.isLidKnown ?? true;
    this.habits = { ...HABITS, ...input.habits };
  }

  /** Made when it is first needed: its keys take some ten milliseconds. */
  get signal(): SignalParty {
    this.#signal ??= new SignalParty();
    return this.#signal;
  }

  close(): void {
    this.#signal?.close();
  }

  get phoneJid(): string {
    return phoneJid(this.phone);
  }

  get lidJid(): string {
    return lidJid(this.lid);
  }

  /** As this person is addressed in stanzas to others. */
  get jid(): string {
    return this.addressing.startsWith('lid') ? this.lidJid : this.phoneJid;
  }

  /** The linked devices that are not removed. */
  linked(): LinkedDevice[] {
    return [...this.devices.values()].filter(({ isRemoved }) => !isRemoved);
  }

  /** One after the other, in the order of the calls. */
  inOrder<T>(write: () => Promise<T>): Promise<T> {
    const written = this.#lane.then(write);
    this.#lane = written.catch(() => undefined);
    return written;
  }

  /** Keeps what came; the same id again only counts. True when it was new. */
  keep(received: Omit<Received, 'times' | 'atMs'>): boolean {
    const key = `${received.from}/${received.id}`;
    const known = this.#received.get(key);
    if (known) {
      known.times += 1;
      return false;
    }
    this.#received.set(key, { ...received, atMs: Date.now(), times: 1 });
    if (this.#received.size > RECEIVED_MAX) {
      const [oldest] = this.#received.keys();
      if (oldest !== undefined) this.#received.delete(oldest);
    }
    return true;
  }

  /** Oldest first. */
  received(): Received[] {
    return [...this.#received.values()];
  }

  find(id: string): Received | undefined {
    return this.received().find((each) => each.id === id);
  }
}
