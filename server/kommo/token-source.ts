import { readKommoGrant, type KommoGrant } from '../commands/kommo-tokens.ts';
import { KommoError } from './errors.ts';
import { readClaims } from './jwt.ts';
import type { KommoMeans } from './means.ts';
import { NO_INTEGRATION } from './oauth.ts';
import { knowingHost, type Place } from './place.ts';
import { renewTokens } from './renew-tokens.ts';
import type { Sender } from './sender.ts';

/** The tokens of one connection, as this process last saw them. */
export type TokenSource = {
  /**
   * Those to use now; renewed when four fifths of their life are over. @throws KommoError `needs_reauth` when there are none
   * or none to be had any more, ClarinError when Postgres is away.
   */
  current(): Promise<KommoGrant>;
  /** Others than these, which Kommo refuses with `error`; `isNew`: it has just given them. @throws the same. */
  after(refused: KommoGrant, error: KommoError): Promise<{ grant: KommoGrant; isNew: boolean }>;
  /** There are others by now: they are read before the next call, also where these are still good. */
  forget(): void;
};

type Options = {
  readonly connection: { readonly accountId: number; readonly connectionId: number };
  readonly place: Place;
  readonly sender: Sender;
  readonly signal: AbortSignal;
};

type Source = Options & { readonly means: KommoMeans };

/** Of a token's life; the rest of it is for trying again. */
const RENEW_AFTER = 0.8;
/** After an answer that did not come. */
const RENEW_AGAIN_MS = 60_000;

export function createTokenSource(means: KommoMeans, options: Options): TokenSource {
  const { database, box, now, renewals } = means;
  const source = { ...options, means };
  let held: KommoGrant | undefined;
  let restsUntilMs = 0;
  const read = async (): Promise<KommoGrant> => {
    const grant = await readKommoGrant(database, box, options.connection);
    if (!grant) throw new KommoError('needs_reauth', NO_TOKENS);
    return grant;
  };
  const renew = (isWanted: (kept: KommoGrant) => boolean) =>
    renewals.take(() => renewUntilDone(source, isWanted));
  const isDue = (grant: KommoGrant): boolean =>
    means.config.integration !== undefined && isDueAt(grant, now());
  return {
    forget: () => {
      held = undefined;
    },
    current: async () => {
      const grant = (held ??= await read());
      // There is time: nobody waits for another connection's renewal.
      if (!isDue(grant) || now() < restsUntilMs || !renewals.isFree()) return grant;
      try {
        held = (await renew(isDue)).grant;
        return held;
      } catch (error) {
        if (!(error instanceof KommoError) || !isPassing(error)) throw error;
        restsUntilMs = now() + RENEW_AGAIN_MS;
        means.log.warn({ error }, 'an access to Kommo was not renewed, it is still good');
        return grant;
      }
    },
    after: async (refused, { status, requestId }) => {
      held = await read();
      if (held.accessToken !== refused.accessToken) return { grant: held, isNew: false };
      if (held.refreshToken === undefined)
        throw new KommoError('needs_reauth', sayEnded(held, now()), {
          status,
          requestId,
          tokensKeptAt: held.keptAt,
        });
      const renewed = await renew((kept) => kept.accessToken === refused.accessToken);
      held = renewed.grant;
      return renewed;
    },
  };
}

/** Whether tokens are to be renewed: of their life, as they or the connection tell it, four fifths are over. */
export function isDueAt(grant: KommoGrant, nowMs: number): boolean {
  if (grant.refreshToken === undefined) return false;
  const claims = readClaims(grant.accessToken);
  const fromMs = claims.issuedAtMs ?? grant.keptAtMs;
  const untilMs = claims.expiresAtMs ?? grant.expiresAtMs;
  return untilMs !== undefined && nowMs >= fromMs + RENEW_AFTER * (untilMs - fromMs);
}

const isPassing = ({ kind }: KommoError): boolean => kind === 'unavailable' || kind === 'malformed';

/** Between two looks whether the process that renews them is done, and how many. */
const BUSY_MS = 1_000;
const ROUNDS_MAX = 60;

/** @throws KommoError `needs_reauth` once Kommo refuses, and what else it answers. */
async function renewUntilDone(
  { means, connection, place, sender, signal }: Source,
  isWanted: (kept: KommoGrant) => boolean,
): Promise<{ grant: KommoGrant; isNew: boolean }> {
  const { limiter, sleep, random } = means;
  const { integration } = means.config;
  if (!integration) throw new KommoError('needs_reauth', NO_INTEGRATION);
  let first: KommoError | undefined;
  let lost: string | undefined;
  let hasLooked = false;
  let host: string | undefined;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    // Two moments in a row: the row is locked in between.
    const { connectionId } = connection;
    await limiter.acquire({ lane: 'interactive', connectionId, signal, slots: 2 });
    const subdomain = host ?? place.subdomain();
    const renewal = { connection, subdomain, integration, isWanted };
    const outcome = await renewTokens(means, renewal);
    if (outcome.kind === 'gone') throw new KommoError('needs_reauth', NO_TOKENS);
    if (outcome.kind === 'kept') return { grant: outcome.grant, isNew: false };
    if (outcome.kind === 'busy') {
      await sleep(BUSY_MS, signal);
      continue;
    }
    sender.count();
    if (outcome.kind === 'renewed') {
      // It was renewed by the host that knows every name: now the token tells the name.
      if (host !== undefined) await place.move(outcome.grant);
      return { grant: outcome.grant, isNew: true };
    }
    const { error, grant } = outcome;
    if (outcome.kind === 'lost') {
      if (lost !== undefined) throw error;
      lost = grant.refreshToken;
      await sleep(random() * BUSY_MS, signal);
      continue;
    }
    if (error.kind !== 'needs_reauth' && error.kind !== 'not_found') throw error;
    const refused = (first ??= error);
    const isLost = lost === grant.refreshToken;
    if (hasLooked) throw refusal(refused, grant, isLost);
    hasLooked = true;
    if (await place.move(grant)) continue;
    host = knowingHost(means.config.url, grant.accessToken);
    if (host === undefined || host === place.subdomain()) throw refusal(refused, grant, isLost);
  }
  throw new KommoError(
    'unavailable',
    'Another process renews the access to Kommo, and does not end.',
  );
}

function refusal(
  { status, requestId }: KommoError,
  { keptAt: tokensKeptAt }: KommoGrant,
  isLost: boolean,
): KommoError {
  const about = { status, requestId, tokensKeptAt };
  return new KommoError('needs_reauth', isLost ? LOST : USED_UP, about);
}

const NO_TOKENS = 'There is no access to this Kommo account any more. Connect it again.';
const LOST =
  'Kommo renewed the access, but its answer was lost on the way, and it cannot be asked for twice. Connect it again.';
const USED_UP =
  'Kommo does not renew the access: it was taken back, or it was renewed and the answer was lost on the way. Connect it again.';

function sayEnded({ accessToken, expiresAtMs }: KommoGrant, nowMs: number): string {
  const endsAtMs = readClaims(accessToken).expiresAtMs ?? expiresAtMs;
  const why =
    endsAtMs !== undefined && endsAtMs <= nowMs
      ? `It ended on ${new Date(endsAtMs).toISOString().slice(0, 10)}.`
      : 'It was taken back or replaced.';
  return `Kommo does not accept the long-lived token. ${why} Make a new one there and connect it again.`;
}
