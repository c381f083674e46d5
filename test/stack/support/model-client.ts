import { WebSocket } from 'ws';
import { parseCursor } from '../../../domain/cursor.ts';
import { isBefore } from '../../support/cursor-order.ts';
import type { FeedChange, ServerMessage, SubscribedTable } from '../../../domain/feed-protocol.ts';
import { eventually } from '../../support/services.ts';

type Row = Record<string, unknown>;
type CommitMessage = Extract<ServerMessage, { type: 'commit' }>;

/** What a client does when it starts or is told to resync: reads every table it shows, as rows. */
export type Snapshot = (table: string) => Promise<{ rows: Row[]; cursor: string | undefined }>;

type Options = {
  /** Asked for each connection: a client may come back elsewhere. */
  url: () => string;
  token: () => string;
  tables: readonly SubscribedTable[];
  snapshot: Snapshot;
};

const ID = 'model';

/**
 * A browser in small: keeps a copy of its tables by snapshot and feed, resumes from its cursor when the socket ends,
 * reads again when it is told to. Checks on the way what the feed promises: commits arrive whole, in order, once.
 */
export class ModelClient {
  readonly tables = new Map<string, Map<number, Row>>();
  readonly commits: CommitMessage[] = [];
  readonly messages: ServerMessage[] = [];
  readonly closes: number[] = [];
  /** Texts of the newest commits, as they came. */
  readonly texts: string[] = [];
  /** Promises that were broken, in words. */
  readonly faults: string[] = [];
  resyncs: string[] = [];
  cursor: string | undefined;
  isLive = false;
  #socket: WebSocket | undefined;
  #parts: CommitMessage[] = [];
  #isOver = false;
  /** Cursor up to which a snapshot already holds everything. */
  #retryMs = 20;
  readonly #options: Options;
  #subscribed = 0;

  constructor(options: Options) {
    this.#options = options;
    for (const { table } of options.tables) this.tables.set(table, new Map());
  }

  /** Connects and stays connected until `close`. Resolves when the first subscription is live and the copy is whole. */
  async start(): Promise<this> {
    this.#connect();
    await this.untilLive();
    return this;
  }

  async untilLive(timeoutMs = 30_000): Promise<void> {
    await eventually(() => this.isLive, { timeoutMs, says: 'the client is live' });
  }

  /** How often a subscription became live. */
  get subscribedCount(): number {
    return this.#subscribed;
  }

  /** The row as the client shows it. */
  row(table: string, id: number): Row | undefined {
    return this.tables.get(table)?.get(id);
  }

  /** Ends the socket as a lost network would; the client resumes by itself. */
  drop(): void {
    this.#socket?.terminate();
  }

  close(): void {
    this.#isOver = true;
    this.isLive = false;
    this.#socket?.terminate();
  }

  #connect(): void {
    if (this.#isOver) return;
    const socket = new WebSocket(this.#options.url(), { maxPayload: 64 * 1024 * 1024 });
    this.#socket = socket;
    let queue = Promise.resolve();
    socket.on('open', () =>
      socket.send(JSON.stringify({ type: 'hello', version: 1, token: this.#options.token() })),
    );
    socket.on('message', (data: Buffer) => {
      const text = data.toString('utf8');
      const message = JSON.parse(text) as ServerMessage;
      if (message.type === 'commit' && this.texts.push(text) > 200) this.texts.shift();
      // In order, also when a snapshot is being read in the middle.
      queue = queue
        .then(() => this.#receive(socket, message))
        .catch((error: unknown) => {
          this.faults.push(String(error));
        });
    });
    socket.on('error', () => undefined);
    socket.on('close', (code) => {
      if (this.#socket !== socket) return;
      this.closes.push(code);
      this.isLive = false;
      this.#parts = [];
      if (!this.#isOver) setTimeout(() => this.#connect(), this.#retryMs);
    });
  }

  async #receive(socket: WebSocket, message: ServerMessage): Promise<void> {
    if (this.#socket !== socket || this.#isOver) return;
    this.messages.push(message);
    switch (message.type) {
      case 'welcome':
        if (this.cursor === undefined) await this.#read();
        return this.#subscribe(socket);
      case 'subscribed':
        this.#subscribed++;
        this.isLive = true;
        return this.#advance(message.cursor);
      case 'commit':
        return this.#commit(message);
      case 'resync':
        this.isLive = false;
        this.resyncs.push(message.reason);
        this.#parts = [];
        this.cursor = undefined;
        await this.#read();
        return this.#subscribe(socket);
      case 'error':
        this.faults.push(`${message.code}: ${message.message}`);
        return undefined;
      case 'unsubscribed':
      case 'signal':
      case 'heartbeat':
      case 'authenticated':
      case 'pong':
        return undefined;
      default:
        return message satisfies never;
    }
  }

  /** Reads until every table was read and takes the oldest cursor: what came between comes again, and does no harm. */
  async #read(): Promise<void> {
    for (let attempt = 0; attempt < 500 && !this.#isOver; attempt++) {
      try {
        const reads = await Promise.all(
          this.#options.tables.map(({ table }) => this.#options.snapshot(table)),
        );
        const cursors = reads.map((read) => read.cursor);
        const oldest = cursors.reduce((left, right) => (isBefore(left, right) ? left : right));
        const epochs = new Set(
          cursors.map((cursor) => (cursor ? parseCursor(cursor)?.epoch : undefined)),
        );
        if (oldest === undefined || epochs.size !== 1) throw new Error('no common cursor yet');
        reads.forEach((read, index) => {
          const table = this.#options.tables[index]?.table ?? '';
          this.tables.set(table, new Map(read.rows.map((row) => [Number(row['id']), row])));
        });
        this.cursor = oldest;
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, this.#retryMs));
      }
    }
  }

  #subscribe(socket: WebSocket): void {
    socket.send(
      JSON.stringify({
        type: 'subscribe',
        id: ID,
        tables: this.#options.tables,
        since: this.cursor,
      }),
    );
  }

  async #commit(message: CommitMessage): Promise<void> {
    if (message.part !== this.#parts.length)
      this.faults.push(`part ${message.part} after ${this.#parts.length} parts`);
    const open = this.#parts[0];
    if (open && open.cursor !== message.cursor)
      this.faults.push(`${message.cursor} inside of ${open.cursor}`);
    this.#parts.push(message);
    if (!message.last) return;
    // Order is by commit; a second time is a fault, because the subscription named its cursor.
    if (!isBefore(this.cursor, message.cursor))
      this.faults.push(`${message.cursor} after ${this.cursor}`);
    for (const part of this.#parts) {
      this.commits.push(part);
      for (const change of part.changes) await this.#change(change);
    }
    this.#parts = [];
    this.#advance(message.cursor);
  }

  async #change(change: FeedChange): Promise<void> {
    const rows = this.tables.get(change.table);
    if (!rows) {
      this.faults.push(`a change of ${change.table}, which was not asked for`);
      return;
    }
    switch (change.op) {
      case 'truncate':
        return rows.clear();
      case 'bulk': {
        // More than the feed carries: read again what is shown. The read is because of the event, so it sees it.
        const fresh = await this.#options.snapshot(change.table);
        this.tables.set(change.table, new Map(fresh.rows.map((row) => [Number(row['id']), row])));
        return;
      }
      case 'delete':
        rows.delete(Number(change.key['id']));
        return;
      case 'insert':
        rows.set(Number(change.key['id']), change.row);
        return;
      case 'update': {
        const before = rows.get(Number(change.key['id'])) ?? {};
        const row = { ...change.row };
        for (const name of change.unchanged ?? []) if (name in before) row[name] = before[name];
        rows.set(Number(change.key['id']), row);
        return;
      }
      default:
        return change satisfies never;
    }
  }

  #advance(cursor: string): void {
    if (!isBefore(cursor, this.cursor)) this.cursor = cursor;
  }
}
