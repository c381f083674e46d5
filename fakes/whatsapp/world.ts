import { randomBytes } from 'node:crypto';
import { Curve, type KeyPair, type proto } from '@whiskeysockets/baileys';
import { isLid, userOf } from './addresses.ts';
import type { CodeRequest } from './code-pairing.ts';
import type { Connection } from './connection.ts';
import { Connections } from './connections.ts';
import { Faults } from './faults.ts';
import { Files } from './files.ts';
import type { Group } from './groups.ts';
import type { Arrived } from './habits.ts';
import type { LinkedDevice } from './linked-device.ts';
import type { Places } from './media-content.ts';
import type { MediaRetryAnswer } from './media-retry.ts';
import { Person, type PersonInput } from './person.ts';
import { StanzaLog } from './stanza-log.ts';
import { mustFind, WorldError } from './world-error.ts';

export type WorldSettings = {
  /**
   * What a device is told about its one-time keys: as many as are really there (then a new one uploads 812 at its first
   * login, which takes a second), or always this number. Default 50.
   */
  preKeysTold: number | 'real';
  /** What the phone answers when a device asks for a file that is gone. Default `success`. */
  mediaRetry: MediaRetryAnswer;
  /** Whether the own phone sends again what its device could not read. Default false: it is out of reach. */
  phoneResends: boolean;
};

export type WrittenMessage = { readonly from: Person; readonly content: proto.IMessage };

const PEOPLE_MAX = 20_000;
const ERRORS_MAX = 1_000;
const WRITTEN_MAX = 20_000;

/** Everybody, every device, everything on its way. */
export class World {
  readonly root: KeyPair = Curve.generateKeyPair();
  readonly faults = new Faults();
  readonly log = new StanzaLog();
  readonly connections = new Connections();
  readonly settings: WorldSettings;
  /** Of a code that a connection shows, until it is used or gone. */
  readonly references = new Map<string, Connection>();
  /** Of a client that wants to be linked by code, by the phone. */
  readonly codeRequests = new Map<string, CodeRequest>();
  readonly groups = new Map<string, Group>();
  readonly files = new Files();
  /** Where files are, once the fake listens. */
  places: Places = { http: '', https: '' };
  /** Hears of everything that people get from devices. */
  onArrived: ((device: LinkedDevice, arrived: Arrived) => void) | undefined;
  /** With it devices upload: they are told when they ask where to. */
  readonly mediaAuth = randomBytes(16).toString('hex');
  readonly #written = new Map<string, WrittenMessage>();
  readonly #people = new Map<string, Person>();
  readonly #byLid = new Map<string, Person>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #errors: string[] = [];
  #lastId = 0;

  constructor(settings: Partial<WorldSettings> = {}) {
    this.settings = { preKeysTold: 50, mediaRetry: 'success', phoneResends: false, ...settings };
  }

  /** @throws WorldError when the phone or the LID is somebody's. */
  addPerson(input: PersonInput): Person {
    const person = new Person(input);
    if (this.#people.has(person.phone)) throw new WorldError(`${person.phone} is taken`);
    if (this.#byLid.has(person.lid)) throw new WorldError(`LID ${person.lid} is taken`);
    if (this.#people.size >= PEOPLE_MAX) throw new WorldError('there are too many people');
    this.#people.set(person.phone, person);
    this.#byLid.set(person.lid, person);
    return person;
  }

  people(): Person[] {
    return [...this.#people.values()];
  }

  /** By phone. @throws WorldError when there is none. */
  person(phone: string): Person {
    return mustFind(this.#people.get(phone), `person ${phone}`);
  }

  /** By an address with phone or LID, with a device or without. */
  personAt(jid: string): Person | undefined {
    const user = userOf(jid) ?? '';
    return isLid(jid) ? this.#byLid.get(user) : this.#people.get(user);
  }

  /** From now on this person has another LID; who writes to the old one still reaches him. */
  changeLid(person: Person, lid: string): void {
    if (this.#byLid.has(lid)) throw new WorldError(`LID ${lid} is taken`);
    person.lid = lid;
    this.#byLid.set(lid, person);
  }

  /** `51999000001:3@s.whatsapp.net`. @throws WorldError when there is none. */
  device(jid: string): LinkedDevice {
    return mustFind(
      this.devices().find((device) => device.jid === jid || device.lidJid === jid),
      `device ${jid}`,
    );
  }

  /** By its address. @throws WorldError when there is none. */
  group(jid: string): Group {
    return mustFind(this.groups.get(jid), `group ${jid}`);
  }

  devices(): LinkedDevice[] {
    return this.people().flatMap(({ devices }) => [...devices.values()]);
  }

  /** What somebody wrote under this id, of the last WRITTEN_MAX. */
  written(id: string): WrittenMessage | undefined {
    return this.#written.get(id);
  }

  noteWritten(id: string, written: WrittenMessage): void {
    this.#written.set(id, written);
    if (this.#written.size <= WRITTEN_MAX) return;
    const [oldest] = this.#written.keys();
    if (oldest !== undefined) this.#written.delete(oldest);
  }

  /** Of queries and notifications of the server's own. */
  nextId(): string {
    this.#lastId += 1;
    return `fake-${this.#lastId}`;
  }

  /** Not after it has ended. */
  after(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, ms);
    this.#timers.add(timer);
  }

  /** Of the fake's own, and of stanzas that cannot be read: none is expected. */
  noteError(error: unknown): void {
    this.#errors.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    if (this.#errors.length > ERRORS_MAX) this.#errors.shift();
  }

  errors(): readonly string[] {
    return this.#errors;
  }

  end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    for (const connection of this.connections.list()) connection.reset();
    for (const person of this.people()) person.close();
  }
}
