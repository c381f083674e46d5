/**
 * Why a call to Kommo came to nothing; the state of its connection follows from it.
 *
 * - needs_reauth: the access that was given is over; only a person can give another one.
 * - payment_required: the account's plan over there has ended.
 * - forbidden: of this resource only, the token's owner lacks the rights.
 * - blocked: Kommo has shut out the address that our requests leave from.
 * - rate_limited: it has asked that address to wait.
 * - not_found: nobody is at home at this subdomain.
 * - rejected: Kommo does not take our request; a fault of ours, which is logged.
 * - unavailable: no answer, or one that says that it cannot; tried again already.
 * - malformed: an answer that is not what it should be, or was cut; tried again already.
 */
export type KommoFailure =
  | 'needs_reauth'
  | 'payment_required'
  | 'forbidden'
  | 'blocked'
  | 'rate_limited'
  | 'not_found'
  | 'rejected'
  | 'unavailable'
  | 'malformed';

type Options = {
  untilMs?: number | undefined;
  status?: number | undefined;
  requestId?: string | undefined;
  tokensKeptAt?: string | undefined;
};

/**
 * What a failed call throws. `message` is a sentence for the person who looks after the connection. It holds no token,
 * and has no cause: errors of the HTTP library carry what was sent and received.
 */
export class KommoError extends Error {
  readonly kind: KommoFailure;
  /** Of `rate_limited` and `blocked`: when requests may leave again, Unix ms by the database's clock. */
  readonly untilMs: number | undefined;
  /** Of Kommo's answer, if there was one. */
  readonly status: number | undefined;
  /** By which Kommo's support finds the request. */
  readonly requestId: string | undefined;
  /** Of `needs_reauth`: which tokens are over (KommoGrant). Whoever tries again with these asks in vain. */
  readonly tokensKeptAt: string | undefined;

  constructor(kind: KommoFailure, message: string, options: Options = {}) {
    super(message);
    this.name = 'KommoError';
    this.kind = kind;
    this.untilMs = options.untilMs;
    this.status = options.status;
    this.requestId = options.requestId;
    this.tokensKeptAt = options.tokensKeptAt;
  }
}

const SENTENCES: Readonly<Record<KommoFailure, string>> = {
  needs_reauth: 'Kommo no longer accepts the access it was given. Connect it again.',
  payment_required:
    'The plan of this Kommo account has ended. It goes on by itself once it is paid for.',
  forbidden: 'Whoever connected Kommo lacks the rights for this there.',
  blocked:
    'Kommo has shut out the address that Clarin calls from. If it lasts, its support has to let it in again.',
  rate_limited: 'Kommo asks for a pause.',
  not_found: 'There is no Kommo account at this address. Was it renamed or deleted?',
  rejected: 'Kommo did not take a request of Clarin. This is a fault of Clarin.',
  unavailable: 'Kommo did not answer.',
  malformed: 'Kommo gave an answer that cannot be read.',
};

/** The sentence of a kind of failure, and what Kommo said itself. */
export function sayFailure(kind: KommoFailure, detail?: string): string {
  return detail === undefined ? SENTENCES[kind] : `${SENTENCES[kind]} It says: ${detail}`;
}

const DETAIL_MAX = 300;

/** Text from outside as it may be shown and logged: one line, not long, without any of the secrets that were sent. */
export function cleanDetail(text: string, secrets: readonly string[]): string {
  const hidden = secrets.reduce(
    // A token is long; a short text could be part of any word.
    (rest, secret) => (secret.length < 8 ? rest : rest.replaceAll(secret, '[secret]')),
    text,
  );
  const line = hidden.replace(/[\s\p{C}]+/gu, ' ').trim();
  return line.length > DETAIL_MAX ? `${line.slice(0, DETAIL_MAX)}…` : line;
}
