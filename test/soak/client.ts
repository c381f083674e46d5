import { WebSocket } from 'ws';
import { parseCursor } from '../../domain/cursor.ts';
import { isBefore } from '../support/cursor-order.ts';
import type { FeedChange, ServerMessage } from '../../domain/feed-protocol.ts';
import type { Ledger } from './ledger.ts';
import type { Tally } from './tally.ts';
import type { Row, Rows } from './truth.ts';
import { VersionCheck } from './version-check.ts';

type CommitMessage = Extract<ServerMessage, { type: 'commit' }>;

export type ClientOptions = {
  readonly name: string;
  readonly accountId: number;
  readonly token: string;
  readonly tables: readonly string[];
  /** Another one each time, or the same. */
  readonly nextUrl: () => string;
  /** First a read that answers a cursor, then the rows. @throws Error when there is none yet. */
  readonly snapshot: (
    tables: readonly string[],
  ) => Promise<{ cursor: string; tables: Map<string, Rows> }>;
  readonly ledger: Ledger;
  readonly tally: Tally;
  /** Texts that only other accounts' rows hold. */
  readonly foreign: readonly string[];
  /** A version has arrived: what is read because of it must show it. */
  readonly onVersion?: (table: string, id: number, version: number) => void;
};

const ID = 'soak';
const RETRY_MS = 50;
const COMMITS_KEPT = 40;

/**
 * A browser in small that trusts nothing: keeps a copy by snapshot and feed, and checks of every message what the feed promises.
 * Commits come whole, in order and once; versioned rows leave none out (G1, G2, G5); no word of another account (G8).
 */
export class SoakClient {
  tables = new Map<string, Rows>();
  cursor: string | undefined;
  isLive = false;
  /** How often it was told that the epoch of what it holds is over. */
  epochsEnded = 0;
  /** The newest commits, in words. */
  readonly last: string[] = [];
  readonly #options: ClientOptions;
  #socket: WebSocket | undefined;
  #parts: CommitMessage[] = [];
  #isOver = false;
  /** Messages that have come, and how many had when it last subscribed. */
  #arrived = 0;
  #arrivedBefore = 0;
  readonly #versions: VersionCheck;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#versions = new VersionCheck(options, (says) => this.#break(says));
    this.#connect();
  }

  get name(): string {
    return this.#options.name;
  }

  get accountId(): number {
    return this.#options.accountId;
  }

  /** Ends the socket as a lost network would; the client resumes from its cursor by itself. */
  drop(): void {
    this.#socket?.terminate();
  }

  /** Reads nothing from its socket for so long. */
  dawdle(ms: number): void {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return;
    socket.pause();
    setTimeout(() => socket.resume(), ms).unref();
  }

  close(): void {
    this.#isOver = true;
    this.isLive = false;
    this.#socket?.terminate();
  }

  #break(says: string): void {
    const { name, tally } = this.#options;
    tally.break(
      `${name}, at ${this.cursor}`,
      `${says}; before: ${this.last.slice(-3).join(' | ')}`,
    );
  }

  #connect(): void {
    if (this.#isOver) return;
    const { token, tally } = this.#options;
    const socket = new WebSocket(`${this.#options.nextUrl()}/feed`, {
      maxPayload: 64 * 1024 * 1024,
      handshakeTimeout: 5_000,
    });
    this.#socket = socket;
    let queue = Promise.resolve();
    socket.on('open', () => socket.send(JSON.stringify({ type: 'hello', version: 1, token })));
    socket.on('message', (data: Buffer) => {
      const text = data.toString('utf8');
      for (const mark of this.#options.foreign)
        if (text.includes(mark)) this.#break(`it got ${mark}: ${text.slice(0, 300)}`);
      const message = JSON.parse(text) as ServerMessage;
      const arrival = ++this.#arrived;
      // In order, also when a snapshot is being read in the middle.
      queue = queue.then(() => this.#receive(socket, message, arrival));
    });
    socket.on('error', () => undefined);
    socket.on('close', (code) => {
      if (this.#socket !== socket) return;
      tally.add(`closed with ${code}`);
      this.isLive = false;
      this.#parts = [];
      if (!this.#isOver) setTimeout(() => this.#connect(), RETRY_MS);
    });
  }

  async #receive(socket: WebSocket, message: ServerMessage, arrival: number): Promise<void> {
    if (this.#socket !== socket || this.#isOver) return;
    switch (message.type) {
      case 'welcome':
        if (message.account_id !== this.accountId)
          this.#break(`welcome to account ${message.account_id}`);
        if (this.cursor === undefined) await this.#read();
        return this.#subscribe(socket);
      case 'subscribed':
        this.isLive = true;
        this.#options.tally.add('subscriptions');
        if (!isSameEpoch(this.cursor, message.cursor))
          this.#break(`goes on at ${message.cursor} without a word about its past`);
        return this.#advance(message.cursor);
      case 'commit':
        return this.#commit(message);
      case 'resync':
        // It had come before this subscription was asked for, and is not about it: it was read too late.
        if (message.id === undefined && arrival <= this.#arrivedBefore) return undefined;
        this.isLive = false;
        this.#options.tally.add(`resync ${message.reason}`);
        if (message.reason === 'epoch') this.epochsEnded++;
        this.#parts = [];
        await this.#read();
        return this.#subscribe(socket);
      case 'error':
        // It says so instead of going on without what it cannot read.
        if (message.code === 'unavailable') {
          this.#options.tally.add('told to come again');
          return this.drop();
        }
        return this.#break(`error ${message.code}: ${message.message}`);
      case 'heartbeat':
      case 'unsubscribed':
      case 'signal':
      case 'authenticated':
      case 'pong':
        return undefined;
      default:
        return message satisfies never;
    }
  }

  /** Until it succeeds: services may be down meanwhile. */
  async #read(): Promise<void> {
    while (!this.#isOver) {
      try {
        const { cursor, tables } = await this.#options.snapshot(this.#options.tables);
        this.tables = tables;
        this.cursor = cursor;
        this.#versions.begin(tables);
        this.#options.tally.add('snapshots');
        this.last.push(`snapshot at ${cursor}`);
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS * 4));
      }
    }
  }

  #subscribe(socket: WebSocket): void {
    const tables = this.#options.tables.map((table) => ({ table }));
    const message = { type: 'subscribe', id: ID, tables, since: this.cursor };
    this.#arrivedBefore = this.#arrived;
    socket.send(JSON.stringify(message), () => undefined);
  }

  async #commit(message: CommitMessage): Promise<void> {
    if (message.part !== this.#parts.length)
      this.#break(`part ${message.part} after ${this.#parts.length} parts`);
    const open = this.#parts[0];
    if (open && open.cursor !== message.cursor)
      this.#break(`${message.cursor} inside of ${open.cursor}`);
    this.#parts.push(message);
    if (!message.last) return;
    const changes = this.#parts.flatMap((part) => part.changes);
    this.#parts = [];
    if (!isBefore(this.cursor, message.cursor))
      this.#break(`${message.cursor} after ${this.cursor}`);
    this.#versions.check(changes, message);
    for (const change of changes) await this.#change(change);
    const tally = this.#options.tally;
    tally.add('events', changes.length);
    tally.add('commits delivered');
    this.last.push(`${message.cursor} ${changes.map(shortly).slice(0, 6).join(', ')}`);
    if (this.last.length > COMMITS_KEPT) this.last.shift();
    this.#advance(message.cursor);
  }

  async #change(change: FeedChange): Promise<void> {
    const { tally, snapshot } = this.#options;
    const rows = this.tables.get(change.table);
    if (!rows) return this.#break(`a change of ${change.table}, which was not asked for`);
    tally.add(`op ${change.table} ${change.op}`);
    switch (change.op) {
      case 'truncate':
        return rows.clear();
      case 'bulk': {
        // More than the feed carries: read again what is shown. The read is because of the event, so it sees it.
        for (;;) {
          const fresh = await snapshot([change.table]).catch(() => undefined);
          if (fresh) {
            for (const [table, read] of fresh.tables) this.tables.set(table, read);
            return this.#versions.take(fresh.tables);
          }
          if (this.#isOver) return undefined;
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS * 4));
        }
      }
      case 'delete':
        rows.delete(Number(change.key['id']));
        return undefined;
      case 'insert':
      case 'update':
        return this.#keep(rows, change);
      default:
        return change satisfies never;
    }
  }

  #keep(rows: Rows, change: Extract<FeedChange, { op: 'insert' | 'update' }>): void {
    const id = Number(change.key['id']);
    const row: Row = { ...change.row };
    if (change.op === 'update') {
      const before = rows.get(id) ?? {};
      for (const name of change.unchanged ?? []) if (name in before) row[name] = before[name];
    }
    const owner = change.table === 'accounts' ? row['id'] : row['account_id'];
    if (owner !== this.accountId)
      this.#break(`a row of account ${String(owner)}: ${shortly(change)}`);
    rows.set(id, row);
  }

  #advance(cursor: string): void {
    if (!isBefore(cursor, this.cursor)) this.cursor = cursor;
  }
}

function shortly(change: FeedChange): string {
  return `${change.op} ${change.table} ${String(change.key['id'] ?? '')}`;
}

function isSameEpoch(left: string | undefined, right: string): boolean {
  return left === undefined || parseCursor(left)?.epoch === parseCursor(right)?.epoch;
}
