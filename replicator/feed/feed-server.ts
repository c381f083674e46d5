import uWebSockets, {
  type HttpRequest,
  type HttpResponse,
  type TemplatedApp,
  type WebSocket,
  type us_listen_socket,
  type us_socket,
  type us_socket_context_t,
} from 'uWebSockets.js';
import { ClarinError } from '../../domain/errors.ts';
import {
  CLIENT_FRAME_BYTES_MAX,
  CLOSE,
  SOCKET_BACKLOG_BYTES_MAX,
} from '../../domain/feed-protocol.ts';
import { sleep } from '../../platform/backoff.ts';
import type { AccountLog } from '../../platform/cache/account-log.ts';
import type { Health } from '../../platform/health.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Queries } from '../../platform/postgres.ts';
import { Admission, type Place } from './admission.ts';
import { BacklogBudget } from './backlog-budget.ts';
import { Connection } from './connection.ts';
import { History } from './history.ts';
import type { Hub } from './hub.ts';
import {
  CONNECTION_LIMITS,
  RESUMES_MAX,
  RESUMES_PER_ACCOUNT_MAX,
  type ConnectionLimits,
} from './limits.ts';
import { serveStatus } from './status-routes.ts';
import { Session } from './session.ts';
import { Slots } from './slots.ts';
import { startWatchNotes } from './watch-notes.ts';

// CommonJS whose exports Node cannot name ahead: they are taken from the whole.
const { App, us_listen_socket_close, us_socket_local_port } = uWebSockets;

export type FeedServerOptions = {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** The setting that names the port, for the sentence when it is taken. */
  readonly portSetting?: 'FEED_PORT' | 'GATEWAY_PORT';
  readonly hub: Hub;
  /** The primary: principals are read from it behind the visibility gate. */
  readonly database: Queries;
  readonly accountLog: Pick<AccountLog, 'read'>;
  readonly secret: string;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly health: () => Promise<Health> | Health;
  /** Pages that may open the feed; empty: any. Programs send no Origin and are not asked. */
  readonly allowedOrigins: readonly string[];
  readonly limits?: ConnectionLimits;
  readonly nowMs?: () => number;
};

/** LIBUS_LISTEN_EXCLUSIVE_PORT, which the package's types declare as an enum that does not exist at run time. */
const LISTEN_EXCLUSIVE = 1;
/** How often everything that depends on time alone is looked at: hello, expiry, stalled readers. */
const SWEEP_MS = 250;
/** A peer that does not even answer a ping for this long is gone. */
const IDLE_SECONDS = 32;
/** After the farewell, for the kernel to take it. */
const FAREWELL_MS = 150;

type Visitor = { readonly address: string; place?: Place; session?: Session };

/**
 * The server of one process: `ws /feed` and `http /health/live | /health/ready | /metrics`. While the hub serves no
 * epoch (a standby, or Redis lost) sockets are refused with 503 and Retry-After before anything is allocated for them.
 * @throws ClarinError `configuration` when the port cannot be had.
 */
export async function startFeedServer(
  options: FeedServerOptions,
): Promise<{ port: number; stop(): Promise<void> }> {
  const server = new FeedServer(options);
  const port = server.listen();
  const notes = startWatchNotes(options);
  return {
    port,
    stop: async () => {
      await Promise.all([notes.stop(), server.stop()]);
    },
  };
}

class FeedServer {
  readonly #options: FeedServerOptions;
  readonly #app: TemplatedApp = App();
  readonly #sessions = new Set<Session>();
  readonly #admission: Admission;
  readonly #budget = new BacklogBudget();
  readonly #history: History;
  readonly #nowMs: () => number;
  #sweeper: NodeJS.Timeout | undefined;
  #listening: us_listen_socket | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: FeedServerOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#admission = new Admission(options.limits ?? CONNECTION_LIMITS);
    this.#history = new History({
      ...options,
      slots: new Slots({ total: RESUMES_MAX, perKey: RESUMES_PER_ACCOUNT_MAX }),
    });
    // Called for every connection as it comes and as it goes; then it has no address any more.
    this.#app.filter((response, change) => {
      if (Number(change) < 0) return;
      if (!this.#admission.knock(addressOf(response), this.#nowMs())) response.close();
    });
    serveStatus(this.#app, options);
    this.#app.ws<Visitor>('/feed', {
      // One over the limit is still read, so that it can be answered with 4400; far larger ones are cut off.
      maxPayloadLength: CLIENT_FRAME_BYTES_MAX * 4,
      // Never reached: the connection decides by half of it (hazards H19). Were it reached, the socket would be cut.
      maxBackpressure: SOCKET_BACKLOG_BYTES_MAX * 2,
      closeOnBackpressureLimit: 1,
      idleTimeout: IDLE_SECONDS,
      sendPingsAutomatically: true,
      upgrade: (response, request, context) => this.#upgrade(response, request, context),
      open: (ws) => this.#open(ws),
      message: (ws, bytes, isBinary) => ws.getUserData().session?.onFrame(bytes, isBinary),
      drain: (ws) => ws.getUserData().session?.connection.onDrain(),
      dropped: (ws) =>
        this.#options.log.error(
          { address: ws.getUserData().address },
          'a frame was dropped: a fault of ours',
        ),
      close: (ws, code) => this.#closed(ws.getUserData(), code),
    });
  }

  listen(): number {
    const { host, port, log, portSetting = 'FEED_PORT' } = this.#options;
    // The declared types lack this overload. Exclusive: without it two processes would share a port in silence.
    const listen = this.#app.listen.bind(this.#app) as unknown as (
      host: string,
      port: number,
      listenOptions: number,
      onListen: (socket: us_listen_socket | false) => void,
    ) => void;
    listen(host, port, LISTEN_EXCLUSIVE, (socket) => {
      if (socket) this.#listening = socket;
    });
    if (!this.#listening) {
      throw new ClarinError(
        'configuration',
        `The feed cannot listen on ${host}:${port}: the port is taken or the address is not of this machine. ` +
          `Set ${portSetting} (or CLARIN_HOST), or stop what holds it.`,
      );
    }
    const bound = us_socket_local_port(this.#listening as unknown as us_socket);
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    log.info({ host, port: bound }, 'the feed listens');
    return bound;
  }

  #upgrade(response: HttpResponse, request: HttpRequest, context: us_socket_context_t): void {
    const { hub, allowedOrigins } = this.#options;
    const origin = request.getHeader('origin');
    if (origin !== '' && allowedOrigins.length > 0 && !allowedOrigins.includes(origin)) {
      return refuse(
        response,
        '403 Forbidden',
        `pages of ${origin} may not open this feed; see ALLOWED_ORIGINS`,
      );
    }
    if (!hub.epoch || this.#stopping) {
      return refuse(response, '503 Service Unavailable', 'this server does not serve the feed now');
    }
    const address = addressOf(response);
    const refusal = this.#admission.refusal(address);
    if (refusal) return refuse(response, refusal.status, refusal.says);
    const visitor: Visitor = { address };
    this.#admission.knocked(address);
    response.upgrade(
      visitor,
      request.getHeader('sec-websocket-key'),
      request.getHeader('sec-websocket-protocol'),
      request.getHeader('sec-websocket-extensions'),
      context,
    );
  }

  #open(ws: WebSocket<Visitor>): void {
    const { metrics } = this.#options;
    const visitor = ws.getUserData();
    const place = this.#admission.enter(visitor.address);
    visitor.place = place;
    const session = new Session({
      ...this.#options,
      connection: new Connection({ ws, metrics, budget: this.#budget }),
      history: this.#history,
      nowMs: this.#nowMs,
      onAuthenticated: () => place.authenticated(),
    });
    visitor.session = session;
    this.#sessions.add(session);
    metrics.sockets.inc();
  }

  #closed(visitor: Visitor, code: number): void {
    const { session, place } = visitor;
    place?.leave(code === CLOSE.tooSlow);
    if (!session || !this.#sessions.delete(session)) return;
    this.#options.metrics.sockets.dec();
    session.onClosed();
  }

  #sweep(): void {
    const nowMs = this.#nowMs();
    for (const session of this.#sessions) session.sweep(nowMs);
  }

  /** Takes no new sockets, asks those that are here to come again, and lets what they are owed leave first. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    if (this.#listening) us_listen_socket_close(this.#listening);
    for (const session of this.#sessions) session.closeRestarting();
    await sleep(FAREWELL_MS, new AbortController().signal);
    clearInterval(this.#sweeper);
    this.#admission.stop();
    this.#budget.stop();
    this.#app.close();
    this.#options.log.info('the feed has stopped');
  }
}

function addressOf(response: HttpResponse): string {
  return Buffer.from(response.getRemoteAddressAsText()).toString('latin1');
}

function refuse(response: HttpResponse, status: string, says: string): void {
  response.cork(() => {
    response.writeStatus(status).writeHeader('content-type', 'text/plain; charset=utf-8');
    if (!status.startsWith('403')) response.writeHeader('retry-after', '1');
    response.end(says, true);
  });
}
