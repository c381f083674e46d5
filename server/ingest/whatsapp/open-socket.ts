import {
  DEFAULT_CONNECTION_CONFIG,
  isJidBot,
  isJidBroadcast,
  isJidGroup,
  isJidMetaAI,
  isJidNewsletter,
  makeWASocket,
  type AuthenticationCreds,
  type ConnectionState,
  type UserFacingSocketConfig,
  type WASocket,
  type WAVersion,
} from '@whiskeysockets/baileys';
import type { Log } from '../../../platform/log.ts';
import type { Clock } from '../clock.ts';
import type { Closed } from './judge-close.ts';
import { quietLogger } from './quiet-logger.ts';
import { readClose } from './read-close.ts';
import type { DeviceSession } from './device-session.ts';
import type { SharedCaches } from './shared-cache.ts';
import { createWatchdog } from './watchdog.ts';

export type SocketMeans = {
  readonly url: string;
  readonly caches: SharedCaches;
  readonly clock: Clock;
  readonly log: Log;
  /** Baileys' own times; undefined: those it has. */
  readonly timing?: Pick<
    UserFacingSocketConfig,
    'qrTimeout' | 'keepAliveIntervalMs' | 'connectTimeoutMs'
  >;
};

type Options = {
  readonly deviceId: number;
  readonly session: DeviceSession;
  /** `2.3000.1043857760`. */
  readonly version: string;
  readonly receivesGroups: () => boolean;
  readonly readSent: NonNullable<UserFacingSocketConfig['getMessage']>;
  /** None of them is called after the socket has ended. */
  readonly on: {
    /** Before anything is sent: whoever listens to raw stanzas begins here. */
    readonly made: (socket: WASocket) => void;
    readonly qr: (qr: string) => void;
    /** After a pairing, before WhatsApp is told that we agree. */
    readonly creds: (update: Partial<AuthenticationCreds>) => void;
    readonly paired: () => void;
    readonly open: () => void;
  };
};

export type OpenSocket = {
  readonly socket: WASocket;
  /** Why it ended: once, whoever ended it. */
  readonly closed: Promise<Closed>;
  /** When the last frame came, by the clock's `elapsed`; undefined: none did. */
  readonly frameAt: () => number | undefined;
  /** Ends it, and waits until it has. Bounded: a server that says nothing any more is not waited for. */
  readonly end: () => Promise<void>;
};

/** The version of the client that Baileys brings. */
export const OWN_VERSION = DEFAULT_CONNECTION_CONFIG.version.join('.');

/** Baileys gives no `close` when the upgrade is refused, and none when a server accepts and says nothing. */
const WATCHDOG_MS = 45_000;
/** A closing handshake that is not answered is not waited for: the lease may end meanwhile. */
const END_MS = 1_000;

/** Baileys' options, and why they are not its own. */
function configOf(means: SocketMeans, options: Options): UserFacingSocketConfig {
  const { session, deviceId, version, receivesGroups, readSent } = options;
  const { caches } = means;
  return {
    ...means.timing,
    auth: session.auth,
    makeSignalRepository: session.makeSignalRepository,
    // What the store refuses it refuses for good: it has tried again itself.
    transactionOpts: { maxCommitRetries: 1, delayBetweenTriesMs: 0 },
    version: version.split('.').map(Number) as WAVersion,
    waWebSocketUrl: means.url,
    // The phone shows the first; the second has to be one that WhatsApp knows, or a code does not pair.
    browser: ['Clarin', 'Chrome', '1.0'],
    logger: quietLogger(means.log.child({ device: deviceId })),
    // Else the phone gets no notifications any more.
    markOnlineOnConnect: false,
    syncFullHistory: true,
    // Keeps Baileys from downloading history in passing: the notification is in the inbox, and is taken from there.
    shouldSyncHistoryMessage: () => false,
    shouldIgnoreJid: (jid) => isIgnored(jid, receivesGroups()),
    getMessage: readSent,
    msgRetryCounterCache: caches.retries.of(deviceId),
    userDevicesCache: caches.devices.of(deviceId),
    callOfferCache: caches.calls.of(deviceId),
    placeholderResendCache: caches.placeholders.of(deviceId),
  };
}

/** Status updates, channels and bots never; groups as people want it. They are refused before they are decrypted. */
export function isIgnored(jid: string, receivesGroups: boolean): boolean {
  if (isJidBroadcast(jid) || isJidNewsletter(jid)) return true;
  if (isJidBot(jid) || isJidMetaAI(jid)) return true;
  return isJidGroup(jid) === true && !receivesGroups;
}

/**
 * One socket, connecting from now on. It is never used again once it has ended: Baileys takes its emitter apart, so the
 * next one is another object, and what this one still says is not heard.
 */
export function openSocket(means: SocketMeans, options: Options): OpenSocket {
  const { clock } = means;
  const { session, on } = options;
  const socket = makeWASocket(configOf(means, options));
  session.watch(socket);
  const over = new AbortController();
  let frameAt: number | undefined;
  /** Known before Baileys says something else, or nothing. */
  let because: Closed | undefined;
  const end = (error?: Error): void => void socket.end(error).catch(() => undefined);
  const endBecause = (closed: Closed): void => {
    because ??= closed;
    end(new Error(closed.kind));
  };
  const watchdog = createWatchdog(clock, {
    ms: WATCHDOG_MS,
    signal: over.signal,
    onLate: () => endBecause({ kind: 'silent' }),
  });
  let settle: (closed: Closed) => void = () => undefined;
  const closed = new Promise<Closed>((resolve) => {
    settle = resolve;
    const onUpdate = (update: Partial<ConnectionState>): void => {
      if (over.signal.aborted) return;
      if (update.qr !== undefined || update.connection === 'open') watchdog.calm();
      if (update.qr !== undefined) on.qr(update.qr);
      if (update.isNewLogin) {
        watchdog.watch();
        on.paired();
      }
      if (update.connection === 'open') on.open();
      if (update.connection !== 'close') return;
      over.abort();
      socket.ws.removeAllListeners('frame');
      resolve(because ?? readClose(update.lastDisconnect?.error));
    };
    socket.ev.on('connection.update', onUpdate);
  });
  socket.ev.on('creds.update', (update) => {
    if (over.signal.aborted) return;
    on.creds(update);
    session.merge(update);
  });
  socket.ws.on('frame', () => void (frameAt = clock.elapsed()));
  socket.ws.on('unexpected-response', (_request: unknown, response: { statusCode?: number }) =>
    endBecause({ kind: 'refused', httpStatus: response.statusCode ?? 0 }),
  );
  on.made(socket);
  watchdog.watch();
  return {
    socket,
    closed,
    frameAt: () => frameAt,
    end: async () => {
      end();
      await Promise.race([closed, pause(clock, END_MS)]);
      terminate(socket);
      await Promise.race([closed, pause(clock, END_MS)]);
      // Whatever Baileys still waits for: it is not heard any more.
      over.abort();
      settle(because ?? { kind: 'silent' });
    },
  };
}

const pause = (clock: Clock, ms: number): Promise<void> =>
  clock.sleep(ms, new AbortController().signal);

/** Baileys waits for the other side to agree to the end; `ws` does for half a minute. */
function terminate(socket: WASocket): void {
  const { socket: wire } = socket.ws as unknown as { socket?: { terminate?: () => void } | null };
  wire?.terminate?.();
}
