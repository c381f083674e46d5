import { WebSocket } from 'ws';
import type { FeedChange, ServerMessage } from '../../../domain/feed-protocol.ts';
import { eventually } from '../../support/eventually.ts';
import type { Account, Stand } from './stand.ts';

type Row = Record<string, unknown>;

/** Both have a name, and contacts have room for a lot of text. */
type Table = 'tags' | 'contacts';

type Options = {
  url: string;
  account: Account;
  table?: Table;
  onLive?: (socket: WebSocket) => void;
};

/**
 * A client that shows a table of an account: whole commits, each once and in order; resumes from its cursor when the socket
 * ends, and reads again where it is told to. Keeps how long each commit took from Postgres to here.
 */
export class Watcher {
  /** Name by id. */
  readonly rows = new Map<number, string>();
  /** Of commits with rows, ms. */
  readonly delays: number[] = [];
  readonly closes: number[] = [];
  readonly faults: string[] = [];
  bulks = 0;
  commits = 0;
  isLive = false;
  /** Its copy is not whole before it has read again. */
  mustRead = false;
  cursor: string | undefined;
  readonly #options: Options;
  readonly #table: Table;
  #socket: WebSocket | undefined;
  #isOver = false;
  #open: { cursor: string; changes: FeedChange[] } | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#table = options.table ?? 'tags';
  }

  /** From now on; what is there already is read by read(). */
  async start(): Promise<this> {
    this.#connect();
    await eventually(() => this.isLive, { timeoutMs: 30_000, says: 'the watcher is live' });
    return this;
  }

  get socket(): WebSocket | undefined {
    return this.#socket;
  }

  close(): void {
    this.#isOver = true;
    this.#socket?.terminate();
  }

  /** What Postgres holds now takes the place of the copy. Only while nobody writes. */
  async read(stand: Pick<Stand, 'sql'>): Promise<void> {
    this.rows.clear();
    const truth = await readNames(stand, this.#options.account.id, this.#table);
    for (const [id, name] of truth) this.rows.set(id, name);
    this.mustRead = false;
  }

  #connect(): void {
    const socket = new WebSocket(this.#options.url, { maxPayload: 64 * 1024 * 1024 });
    this.#socket = socket;
    socket.on('open', () =>
      socket.send(
        JSON.stringify({ type: 'hello', version: 1, token: this.#options.account.token }),
      ),
    );
    socket.on('message', (data: Buffer) =>
      this.#receive(socket, JSON.parse(data.toString('utf8')) as ServerMessage),
    );
    socket.on('error', () => undefined);
    socket.on('close', (code) => {
      this.closes.push(code);
      this.isLive = false;
      this.#open = undefined;
      if (!this.#isOver) setTimeout(() => this.#connect(), 20 + Math.random() * 200);
    });
  }

  #receive(socket: WebSocket, message: ServerMessage): void {
    switch (message.type) {
      case 'welcome':
        return socket.send(
          JSON.stringify({
            type: 'subscribe',
            id: 'shown',
            tables: [{ table: this.#table }],
            ...(this.cursor === undefined ? {} : { since: this.cursor }),
          }),
        );
      case 'subscribed':
        this.cursor ??= message.cursor;
        this.isLive = true;
        return this.#options.onLive?.(socket);
      case 'commit':
        return this.#commit(message);
      case 'resync':
        this.mustRead = true;
        this.cursor = message.cursor;
        return socket.terminate();
      case 'error':
        this.faults.push(`${message.code}: ${message.message}`);
        return;
      case 'unsubscribed':
      case 'signal':
      case 'heartbeat':
      case 'authenticated':
      case 'pong':
        return;
      default:
        return message satisfies never;
    }
  }

  #commit({ cursor, at, part, last, changes }: ServerMessage & { type: 'commit' }): void {
    if ((part === 0) !== (this.#open === undefined)) this.faults.push(`part ${part} at ${cursor}`);
    this.#open ??= { cursor, changes: [] };
    if (this.#open.cursor !== cursor) this.faults.push(`${cursor} inside of ${this.#open.cursor}`);
    for (const change of changes) this.#open.changes.push(change);
    if (!last) return;
    const whole = this.#open.changes;
    this.#open = undefined;
    if (this.cursor !== undefined && !isAfter(cursor, this.cursor))
      this.faults.push(`${cursor} after ${this.cursor}`);
    this.cursor = cursor;
    this.commits++;
    this.delays.push(performance.timeOrigin + performance.now() - Date.parse(at));
    for (const change of whole) this.#apply(change);
  }

  #apply(change: FeedChange): void {
    switch (change.op) {
      case 'insert':
      case 'update':
        this.rows.set(Number(change.key['id']), String((change.row as Row)['name']));
        return;
      case 'delete':
        this.rows.delete(Number(change.key['id']));
        return;
      case 'bulk':
      case 'truncate':
        this.bulks++;
        this.mustRead = true;
        return;
      default:
        return change satisfies never;
    }
  }
}

/** Cursors of one epoch are `<epoch>.<high>/<low>`. */
function isAfter(left: string, right: string): boolean {
  const numberOf = (cursor: string): bigint => {
    const [high = '0', low = '0'] = (cursor.split('.')[1] ?? '').split('/');
    return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
  };
  return left.split('.')[0] !== right.split('.')[0] || numberOf(left) > numberOf(right);
}

export async function readNames(
  stand: Pick<Stand, 'sql'>,
  accountId: number,
  table: Table,
): Promise<[id: number, name: string][]> {
  const rows = await stand.sql(`select id, name from ${table} where account_id = $1`, [accountId]);
  return rows.map((row) => [Number(row['id']), String(row['name'])]);
}

/** How many rows of the copy differ from Postgres. */
export function countDifferences(
  truth: readonly (readonly [id: number, name: string])[],
  copy: ReadonlyMap<number, string>,
): number {
  const wrong = truth.filter(([id, name]) => copy.get(id) !== name).length;
  return wrong + Math.max(0, copy.size - (truth.length - wrong));
}
