import {
  jidNormalizedUser,
  type AuthenticationCreds,
  type WASocket,
} from '@whiskeysockets/baileys';
import type { DeviceCode } from '../../../domain/device-status.ts';
import type { Me } from '../../whatsapp/map-message.ts';
import { writePairing, type Numbers } from '../../commands/write-pairing.ts';
import type { Pairing } from './connections.ts';
import { write, type DeviceContext } from './device-context.ts';

/** As long as Baileys shows each: the first for a minute, five more for a third of one. */
const FIRST_QR_MS = 60_000;
const NEXT_QR_MS = 20_000;
/** A code is good as long as there are QRs: nothing ends the waiting for it but that they are used up. */
const CODE_MS = FIRST_QR_MS + 5 * NEXT_QR_MS;
/** It is shown for that much longer: the next one is on its way then. */
const GRACE_MS = 5_000;

/** It has been linked, and will not be registered again. Only then its credentials are worth anything. */
export function isLinked(creds: AuthenticationCreds): boolean {
  return creds.me !== undefined && creds.account !== undefined;
}

/**
 * A pairing by code says who we are before it is done. Given up, that has to go: Baileys would log in with it instead of
 * asking to be paired.
 */
export function forgetUnlinked(creds: AuthenticationCreds): void {
  if (isLinked(creds)) return;
  delete creds.me;
  creds.pairingCode = undefined;
}

/** Pure. What has just been linked, and why it may not be; undefined: it may. */
export function judgeNumber(jid: string, { own, others }: Numbers): DeviceCode | undefined {
  if (others.includes(jid)) return 'number_taken';
  return own === undefined || own === jid ? undefined : 'other_number';
}

/** The number in `51987654321:7@s.whatsapp.net` and where it stands without the device's. */
export function numberOf(creds: Partial<AuthenticationCreds>): { jid: string; phone: string } {
  const jid = jidNormalizedUser(creds.me?.id);
  return { jid, phone: jid.split('@')[0] ?? '' };
}

/** Who a linked device is. */
export function meOf(creds: AuthenticationCreds): Me {
  const lid = jidNormalizedUser(creds.me?.lid);
  return { jid: numberOf(creds).jid, lid: lid === '' ? undefined : lid };
}

type Options = {
  readonly pairing: Pairing;
  /** People no longer ask for it, or for another. */
  readonly onGone: () => void;
  readonly onFailed: (error: unknown) => void;
};

/** Shows what WhatsApp gives for pairing. One QR after the other, in their order. */
export class PairingScreen {
  readonly #context: DeviceContext;
  readonly #options: Options;
  #hasCode = false;
  #shown = 0;
  #done: Promise<void> = Promise.resolve();

  constructor(context: DeviceContext, options: Options) {
    this.#context = context;
    this.#options = options;
  }

  /** WhatsApp has given another QR. By code, the first one says that it is ready for a code. */
  show(qr: string, socket: WASocket): void {
    const { kind, phone } = this.#options.pairing;
    this.#shown++;
    const lifeMs = this.#shown === 1 ? FIRST_QR_MS : NEXT_QR_MS;
    const next = async (): Promise<void> => {
      if (kind === 'qr') return this.#write(qr, lifeMs + GRACE_MS);
      if (this.#hasCode || phone === undefined) return;
      this.#hasCode = true;
      await this.#write(await socket.requestPairingCode(phone), CODE_MS);
    };
    const before = this.#done;
    const run = async (): Promise<void> => {
      await before;
      await next().catch(this.#options.onFailed);
    };
    this.#done = run();
  }

  async #write(code: string, lifeMs: number): Promise<void> {
    const { pairing, onGone } = this.#options;
    const shown = { pairingId: pairing.id, kind: pairing.kind, phone: pairing.phone, code, lifeMs };
    const isThere = await write(this.#context, (tx) => writePairing(tx, this.#context, shown));
    if (!isThere) onGone();
  }
}
