import type { Socket } from 'node:net';
import type { Client } from 'pg';
import { LogicalReplicationService } from 'pg-logical-replication';
import { ClarinError } from '../domain/errors.ts';
import { parseLsn, type Lsn } from '../domain/lsn.ts';
import type { Log } from '../platform/log.ts';
import { startupOptions, TEXT_SETTINGS } from '../platform/postgres.ts';
import { encodeStandbyStatus } from './standby-status.ts';

/**
 * One attempt at the replication stream. `pg-logical-replication` connects and frames, and is asked for nothing else: its
 * acknowledgements lose transactions, its timers too, it answers no keepalive, and what a listener of its throws is
 * an uncaught exception of the process (hazards H1 to H6). So an attempt has an object of its own,
 * starts at 0/0 (the slot knows where), and ends by exactly one thing: the promise `ended`.
 */
export type StreamOptions = {
  readonly url: string;
  readonly slot: string;
  readonly publication: string;
  readonly statusIntervalMs: number;
  /** What may be told to Postgres: asked at every status. */
  readonly confirmed: () => Lsn;
  /** The frame is only valid during the call. What it throws ends the attempt. */
  readonly onFrame: (frame: Buffer) => void;
  /** Everything before `lsn` has been sent, an open transaction excepted. */
  readonly onKeepalive: (lsn: Lsn) => void;
  readonly log: Log;
};

export type ReplicationStream = {
  /** Resolves when Postgres has begun to stream; never, when the attempt fails before. */
  readonly started: Promise<void>;
  /** Resolves after `stop`, rejects with whatever else ended the attempt. */
  readonly ended: Promise<void>;
  readonly receivedBytes: number;
  /** When the last frame or keepalive came, by the monotonic clock. */
  readonly lastReceivedAtMs: number;
  sendStatus(): void;
  /** Back-pressure: the walsender waits, and is kept alive by our statuses. */
  pause(): void;
  resume(): void;
  /** Idempotent; within a second or so. */
  stop(): Promise<void>;
};

/** What of pg's connection is used; its types leave it out. */
type Connection = { stream: Socket; sendCopyFromChunk(chunk: Buffer): void };

const STOP_DEADLINE_MS = 500;

/**
 * Decoded in one turn of the event loop. Node reads up to 2 MiB before anything else may run, which is a fifth of a
 * second of decoding; whatever was committed before it needs several turns to reach its client.
 */
const TURN_BYTES_MAX = 64 * 1024;

/**
 * A transaction that has written more than this is sent while it goes on: what is left to send at its commit, and what
 * everybody else's commits wait for, is at most this much. The server's own setting is for those who spill.
 */
const DECODING_SETTINGS = { logical_decoding_work_mem: '512kB' };

export function openStream(options: StreamOptions): ReplicationStream {
  return new Attempt(options);
}

class Attempt implements ReplicationStream {
  readonly started: Promise<void>;
  readonly ended: Promise<void>;
  receivedBytes = 0;
  lastReceivedAtMs = performance.now();
  readonly #options: StreamOptions;
  readonly #service: LogicalReplicationService;
  #connection: Connection | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  #isStopped = false;
  #settle: (error?: unknown) => void = () => undefined;
  #stopping: Promise<void> | undefined;
  #turnBytes = 0;
  #isTurnOver = false;
  #isPaused = false;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#service = new LogicalReplicationService(
      {
        connectionString: options.url,
        application_name: `clarin replication ${options.slot}`,
        connectionTimeoutMillis: 5_000,
        keepAlive: true,
        options: startupOptions({ ...TEXT_SETTINGS, ...DECODING_SETTINGS }),
      },
      { acknowledge: { auto: false, timeoutSeconds: 0 }, flowControl: { enabled: false } },
    );
    this.started = new Promise((resolve) => this.#service.once('start', () => resolve()));
    this.ended = new Promise((resolve, reject) => {
      this.#settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    // Whoever awaits it sees the rejection; that nobody does yet is no fault.
    this.ended.catch(() => undefined);
    this.#listen();
    this.#run();
  }

  #listen(): void {
    // The promise of subscribe() tells the same, and more reliably.
    this.#service.on('error', (error) =>
      this.#options.log.debug({ error }, 'replication connection'),
    );
    this.#service.on('data', (_lsn, frame: Buffer) => {
      this.#receive(frame.length, () => this.#options.onFrame(frame));
    });
    this.#service.on('heartbeat', (text, _clock, wantsReply) => {
      this.#receive(0, () => {
        const lsn = parseLsn(text);
        if (lsn !== undefined) this.#options.onKeepalive(lsn);
        if (wantsReply) this.#send(false);
      });
    });
  }

  #receive(bytes: number, handle: () => void): void {
    if (this.#isOver) return;
    this.receivedBytes += bytes;
    this.lastReceivedAtMs = performance.now();
    this.#takeTurns(bytes);
    try {
      handle();
    } catch (error) {
      this.#end(error);
    }
  }

  #run(): void {
    const { slot, publication, statusIntervalMs } = this.#options;
    const plugin = {
      options: {},
      name: 'pgoutput',
      parse: (frame: Buffer) => frame,
      start: (client: Client) => {
        this.#connection = (client as unknown as { connection: Connection }).connection;
        this.#timer = setInterval(() => this.#send(true), statusIntervalMs);
        return client.query(startCommand(slot, publication));
      },
    };
    this.#service.subscribe(plugin, slot).then(
      () => this.#end(new ClarinError('unavailable', 'Postgres ended the replication stream')),
      (error: unknown) => this.#end(error),
    );
  }

  #send(wantsReply: boolean): void {
    if (this.#isOver) return;
    this.#connection?.sendCopyFromChunk(
      encodeStandbyStatus(this.#options.confirmed(), Date.now(), wantsReply),
    );
  }

  sendStatus(): void {
    this.#send(false);
  }

  /** Everybody else's turn comes as soon as this one has had its share. */
  #takeTurns(bytes: number): void {
    this.#turnBytes += bytes;
    if (this.#turnBytes < TURN_BYTES_MAX || this.#isTurnOver) return;
    this.#isTurnOver = true;
    this.#connection?.stream.pause();
    setImmediate(() => {
      this.#turnBytes = 0;
      this.#isTurnOver = false;
      if (!this.#isPaused) this.#connection?.stream.resume();
    });
  }

  pause(): void {
    this.#isPaused = true;
    this.#connection?.stream.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (!this.#isTurnOver) this.#connection?.stream.resume();
  }

  stop(): Promise<void> {
    if (!this.#isOver) {
      this.#send(false);
      this.#isStopped = true;
      this.#end(undefined);
    }
    return this.#stopping ?? Promise.resolve();
  }

  /** The first reason counts. */
  #end(error: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearInterval(this.#timer);
    this.#stopping = this.#close();
    void this.#stopping.then(() => {
      this.#settle(
        this.#isStopped ? undefined : (error ?? new ClarinError('unavailable', 'the stream ended')),
      );
    });
  }

  /** A paused socket never sees its own end, and a half-open one never answers: both are cut after the deadline. */
  async #close(): Promise<void> {
    const stream = this.#connection?.stream;
    stream?.resume();
    const deadline = setTimeout(() => stream?.destroy(), STOP_DEADLINE_MS);
    try {
      await this.#service.stop();
    } catch (error) {
      this.#options.log.debug({ error }, 'replication connection did not close in order');
    } finally {
      clearTimeout(deadline);
      stream?.destroy();
    }
  }
}

/** Identifiers are quoted and literals escaped: the command has no parameters. */
function startCommand(slot: string, publication: string): string {
  if (!/^[a-z0-9_]{1,63}$/.test(slot))
    throw new ClarinError('configuration', `not a slot name: ${slot}`);
  const names = `"${publication.replaceAll('"', '""')}"`.replaceAll("'", "''");
  return `START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (proto_version '2', publication_names '${names}', messages 'true', streaming 'on')`;
}
