import { proto, type WASocket } from '@whiskeysockets/baileys';
import type { DeviceCode } from '../../../domain/device-status.ts';
import { ClarinError } from '../../../domain/errors.ts';
import type { Running } from '../../../platform/lifecycle.ts';
import { takeSentMessage } from '../../commands/take-sent-message.ts';
import { linkDevice, type Numbers } from '../../commands/write-pairing.ts';
import { LeaseLost } from '../write-in-lease.ts';
import type { Pairing } from './connections.ts';
import { write, type DeviceContext, type Linked } from './device-context.ts';
import type { Closed, Phase } from './judge-close.ts';
import { openSocket, type OpenSocket, type SocketMeans } from './open-socket.ts';
import { readClose } from './read-close.ts';
import { judgeNumber, meOf, numberOf, PairingScreen } from './pairing.ts';
import type { DeviceSession } from './device-session.ts';

/** What a socket is opened for. */
export type Errand =
  | { readonly kind: 'login' }
  | { readonly kind: 'pair'; readonly pairing: Pairing; readonly numbers: Numbers }
  | { readonly kind: 'logout' };

export type LinkOutcome =
  /** By WhatsApp, or by what is between us. */
  | { readonly kind: 'ended'; readonly closed: Closed; readonly phase: Phase }
  /** The number may not be linked. It is not, or no longer. */
  | { readonly kind: 'refused'; readonly code: DeviceCode }
  /** As people wanted, and WhatsApp knows. */
  | { readonly kind: 'logged_out' }
  /** By us: something else is wanted. */
  | { readonly kind: 'left' };

export type LinkOptions = {
  readonly errand: Errand;
  readonly session: DeviceSession;
  readonly version: string;
  readonly receivesGroups: () => boolean;
  /** Aborted when something else is wanted. */
  readonly signal: AbortSignal;
  /** What is wanted then: to be logged out, while we can say so. */
  readonly wantsLogout: () => boolean;
  /** Every socket, before anything comes from it. */
  readonly onMade: (socket: WASocket) => void;
  readonly onPhase: (phase: Phase) => void;
  /** Begins what needs a socket that is logged in. Stopped before the socket is ended by us. */
  readonly startWork: (linked: Linked) => Running;
};

/** What still has to be said is given so long, then the socket ends: the lease may be over soon. */
const STOP_MS = 1_500;

/** One socket of a device, from its making to its end, and all that is done only while it is there. */
export class Link {
  readonly #context: DeviceContext;
  readonly #options: LinkOptions;
  readonly #socket: OpenSocket;
  readonly #screen: PairingScreen | undefined;
  /** Aborted as soon as the socket is not logged in any more. */
  readonly #over = new AbortController();
  #phase: Phase = 'connecting';
  #outcome: LinkOutcome | undefined;
  #fault: unknown;
  #work: Running | undefined;
  /** What is done when it is paired and when it is open, one after the other. */
  #steps: Promise<void> = Promise.resolve();

  constructor(means: SocketMeans, context: DeviceContext, options: LinkOptions) {
    this.#context = context;
    this.#options = options;
    const { errand, session, version, receivesGroups } = options;
    if (errand.kind === 'pair')
      this.#screen = new PairingScreen(context, {
        pairing: errand.pairing,
        onGone: () => void this.#leave(),
        onFailed: (error) => this.#fail(error),
      });
    this.#socket = openSocket(means, {
      deviceId: context.deviceId,
      session,
      version,
      receivesGroups,
      readSent: (key) => this.#readSent(key),
      on: {
        made: options.onMade,
        qr: (qr) => this.#showQr(qr),
        creds: ({ me, account }) => {
          if (me && account) this.#judgePaired({ me });
          // How the account calls itself comes after the login, or when it changes.
          else if (me?.name && this.#phase === 'open') this.#step(() => this.#rename());
        },
        paired: () => this.#step(() => this.#paired()),
        open: () => this.#step(() => this.#opened()),
      },
    });
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** By the clock's `elapsed`; undefined: no frame has come. */
  get frameAt(): number | undefined {
    return this.#socket.frameAt();
  }

  /** Resolves when the socket has ended. @throws what made us end it: LeaseLost, ClarinError. */
  async run(): Promise<LinkOutcome> {
    const { signal } = this.#options;
    const onAbort = (): void => void this.#leave();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    const closed = await this.#socket.closed;
    signal.removeEventListener('abort', onAbort);
    this.#over.abort();
    await this.#steps;
    await this.#stopWork();
    const fault = this.#fault;
    if (fault instanceof ClarinError || fault instanceof LeaseLost) throw fault;
    if (this.#outcome) return this.#outcome;
    // What a socket threw at us says as much as its end.
    return {
      kind: 'ended',
      closed: fault === undefined ? closed : readClose(fault),
      phase: this.#phase,
    };
  }

  #step(work: () => Promise<void>): void {
    this.#steps = this.#steps.then(work).catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    // A socket that is ending takes what was asked of it along.
    if (this.#over.signal.aborted || this.#outcome) return;
    this.#fault ??= error;
    void this.#socket.end();
  }

  #enter(phase: Phase): void {
    if (this.#phase === phase) return;
    this.#phase = phase;
    this.#options.onPhase(phase);
  }

  #showQr(qr: string): void {
    this.#enter('pairing');
    this.#screen?.show(qr, this.#socket.socket);
  }

  /** WhatsApp has linked a number and waits for our consent: without it, it is not linked. There is no time to ask. */
  #judgePaired(creds: Parameters<typeof numberOf>[0]): void {
    const { errand } = this.#options;
    if (errand.kind !== 'pair') return;
    const code = judgeNumber(numberOf(creds).jid, errand.numbers);
    if (code === undefined) return;
    this.#outcome = { kind: 'refused', code };
    void this.#socket.end();
  }

  async #paired(): Promise<void> {
    // Refused: Baileys says it all the same, before it notices that the socket has ended.
    if (this.#outcome) return;
    this.#enter('connecting');
    await this.#options.session.flush();
    await this.#writeNumber();
  }

  async #rename(): Promise<void> {
    await this.#writeNumber();
  }

  /** False: another device of the account has it. */
  async #writeNumber(): Promise<boolean> {
    const { creds } = this.#options.session.auth;
    const { name } = creds.me ?? {};
    const linked = {
      ...numberOf(creds),
      // What a pairing by code puts there.
      pushname: name === undefined || name === '~' ? undefined : name,
      platform: creds.platform,
    };
    return write(this.#context, (tx) => linkDevice(tx, this.#context, linked));
  }

  async #opened(): Promise<void> {
    const { errand, session, startWork } = this.#options;
    if (errand.kind === 'logout') return this.#logOut({ kind: 'logged_out' });
    if (!(await this.#writeNumber()))
      return this.#logOut({ kind: 'refused', code: 'number_taken' });
    if (this.#over.signal.aborted || this.#outcome) return;
    this.#enter('open');
    const { socket } = this.#socket;
    const me = meOf(session.auth.creds);
    this.#work = startWork({ socket, me, signal: this.#over.signal });
  }

  async #logOut(outcome: LinkOutcome): Promise<void> {
    await this.#socket.socket.logout();
    this.#outcome = outcome;
    await this.#socket.end();
  }

  async #leave(): Promise<void> {
    if (this.#outcome) return;
    this.#outcome = { kind: 'left' };
    await this.#stopWork();
    if (this.#phase === 'open' && this.#options.wantsLogout()) {
      // When it cannot be said now, the next socket says it.
      await this.#logOut({ kind: 'logged_out' }).catch(() => undefined);
    }
    await this.#bounded(this.#options.session.flush());
    await this.#socket.end();
  }

  async #stopWork(): Promise<void> {
    const work = this.#work;
    if (work) await this.#bounded(work.stop());
  }

  async #bounded(work: Promise<unknown>): Promise<void> {
    const { clock, log } = this.#context;
    const done = new AbortController();
    const late = clock.sleep(STOP_MS, done.signal).then(
      () => log.warn('work for a device did not end in time: its socket ends without it'),
      () => undefined,
    );
    await Promise.race([work.catch(() => undefined), late]);
    done.abort();
  }

  async #readSent({
    id,
    fromMe,
  }: {
    id?: string | null;
    fromMe?: boolean | null;
  }): Promise<proto.IMessage | undefined> {
    const context = this.#context;
    if (!id || fromMe === false) return undefined;
    const wanted = {
      accountId: context.accountId,
      deviceId: context.deviceId,
      messageId: id,
    };
    try {
      const bytes = await write(context, (tx) => takeSentMessage(tx, context.box, wanted));
      return bytes && proto.Message.decode(bytes);
    } catch (error) {
      // Who could not read it asks again.
      context.log.warn({ error }, 'a message that somebody could not read was not found');
      return undefined;
    }
  }
}
