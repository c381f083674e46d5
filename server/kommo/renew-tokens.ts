import { backoffMs } from '../../platform/backoff.ts';
import type { KommoIntegration } from '../../platform/config.ts';
import { sql } from '../../platform/sql.ts';
import {
  lockKommoGrant,
  readKommoGrant,
  replaceKommoTokens,
  setTokenExpiry,
  type KommoGrant,
} from '../commands/kommo-tokens.ts';
import type { KommoError } from './errors.ts';
import type { KommoMeans } from './means.ts';
import { requestTokens, type NewTokens } from './oauth.ts';

type Connection = { readonly accountId: number; readonly connectionId: number };

type Renewal = {
  readonly connection: Connection;
  readonly subdomain: string;
  readonly integration: KommoIntegration;
  /** Whether the tokens that are kept are still those to be renewed: somebody may have done it. */
  readonly isWanted: (kept: KommoGrant) => boolean;
};

/** `busy`: somebody else is at it. `gone`: there are no tokens. `refused`, `lost`: of these tokens, see TokenOutcome. */
export type RenewalOutcome =
  | { readonly kind: 'busy' }
  | { readonly kind: 'gone' }
  | { readonly kind: 'kept'; readonly grant: KommoGrant }
  | { readonly kind: 'renewed'; readonly grant: KommoGrant }
  | { readonly kind: 'refused'; readonly error: KommoError; readonly grant: KommoGrant }
  | { readonly kind: 'lost'; readonly error: KommoError; readonly grant: KommoGrant };

/** Longer than Kommo may take: until then the transaction that holds the row waits for it and does nothing. */
const HELD_FOR = '60s';
const SAVE_TRIES_MAX = 6;
const SAVE_RETRY = { minMs: 500, maxMs: 8_000 };
const NEVER = new AbortController().signal;

/**
 * Renews the tokens of a connection, once for all processes: the row is locked, read again, and Kommo is asked only when
 * what is in it is still to be renewed. A refresh token is good once, so the new pair is committed before anybody uses it;
 * should the commit fail, it is tried again for as long as this process has the pair.
 * @throws ClarinError when Postgres is away.
 */
export async function renewTokens(means: KommoMeans, renewal: Renewal): Promise<RenewalOutcome> {
  const { connection } = renewal;
  let unsaved: Unsaved | undefined;
  const outcome = await lockAndAsk(means, renewal, (given) => {
    unsaved = given;
  }).catch(async (error: unknown) => {
    if (!unsaved) throw error;
    means.log.error({ error }, 'renewed tokens of Kommo were not kept, trying again');
    return save(means, connection, unsaved);
  });
  if (outcome.kind === 'renewed' && outcome.grant.expiresAtMs !== undefined) {
    // For people to see; the tokens say it themselves too.
    await setTokenExpiry(
      means.database,
      { ...connection, keptAt: outcome.grant.keptAt },
      outcome.grant.expiresAtMs,
    ).catch((error: unknown) => means.log.warn({ error }, 'the end of a token was not written'));
  }
  return outcome;
}

type Unsaved = NewTokens & {
  /** Of the tokens they take the place of. */
  readonly keptAt: string;
};

/** Throws nothing of Kommo's inside of the transaction: there it would become an error of the database. */
async function lockAndAsk(
  { database, box, ...means }: KommoMeans,
  { connection, subdomain, integration, isWanted }: Renewal,
  onGiven: (given: Unsaved) => void,
): Promise<RenewalOutcome> {
  const { value } = await database.transaction<RenewalOutcome>(
    async (tx) => {
      await tx.query(
        sql`select set_config('idle_in_transaction_session_timeout', ${HELD_FOR}, true)`,
      );
      const kept = await lockKommoGrant(tx, box, connection);
      if (kept === 'busy') return { kind: 'busy' };
      if (kept === undefined) return { kind: 'gone' };
      // What has no refresh token has taken the place of what had one.
      if (!isWanted(kept) || kept.refreshToken === undefined) return { kind: 'kept', grant: kept };
      const grant = { grant_type: 'refresh_token', refresh_token: kept.refreshToken } as const;
      const answer = await requestTokens(means, { subdomain, integration, grant });
      if (answer.kind !== 'given') return { kind: answer.kind, error: answer.error, grant: kept };
      onGiven({ ...answer, keptAt: kept.keptAt });
      const place = { ...connection, keptAt: kept.keptAt };
      const keptAt = await replaceKommoTokens(tx, box, place, answer.tokens);
      return { kind: 'renewed', grant: grantOf(answer, keptAt ?? '', means.now()) };
    },
    { origin: { source: 'kommo' } },
  );
  return value;
}

/** @throws ClarinError: they are lost, and a person has to connect it again. */
async function save(
  { database, box, sleep, log, now }: KommoMeans,
  connection: Connection,
  given: Unsaved,
): Promise<RenewalOutcome> {
  for (let tried = 0; ; tried++) {
    try {
      const place = { ...connection, keptAt: given.keptAt };
      const keptAt = await replaceKommoTokens(database, box, place, given.tokens);
      if (keptAt !== undefined) return { kind: 'renewed', grant: grantOf(given, keptAt, now()) };
      // Others are there: these, when the commit had gone through, or those of a person who has connected it anew.
      const grant = await readKommoGrant(database, box, connection);
      return grant ? { kind: 'kept', grant } : { kind: 'gone' };
    } catch (error) {
      if (tried + 1 >= SAVE_TRIES_MAX) {
        log.error(
          { error, connection: connection.connectionId },
          'renewed tokens of Kommo are lost',
        );
        throw error;
      }
      await sleep(backoffMs(tried, SAVE_RETRY), NEVER);
    }
  }
}

function grantOf({ tokens, expiresAtMs }: NewTokens, keptAt: string, keptAtMs: number): KommoGrant {
  return { ...tokens, keptAt, keptAtMs, expiresAtMs };
}
