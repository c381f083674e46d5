import { z } from 'zod';
import type { KommoTokens } from '../commands/kommo-tokens.ts';
import { addressOf, isSubdomain, subdomainOfHost } from './address.ts';
import { KommoError } from './errors.ts';
import { judge } from './failed.ts';
import { readClaims } from './jwt.ts';
import type { KommoMeans } from './means.ts';
import type { Sender } from './sender.ts';

/** Where an account is reached: its people may rename it at any time. */
export type Place = {
  subdomain(): string;
  /** Base of all addresses, without a slash at the end. */
  base(): string;
  /**
   * Looks for the account under another name; true: it was found, and is reached there from now on.
   * @throws ClarinError when Postgres is away, the signal's reason.
   */
  move(tokens: KommoTokens): Promise<boolean>;
};

type Means = Pick<KommoMeans, 'config' | 'limiter' | 'log'>;

const named = z.looseObject({ subdomain: z.string().toLowerCase().refine(isSubdomain) });

/**
 * What a token says is called `api_domain` there: a host that knows the account by whatever name. As a subdomain of ours;
 * undefined: it names none that KOMMO_URL would lead to, and no other host is ever asked.
 */
export function knowingHost(template: string, accessToken: string): string | undefined {
  return subdomainOfHost(template, readClaims(accessToken).apiDomain ?? '');
}

/** Who has a token is told the name at that host, and the account's own document has it too. */
export function createPlace(means: Means, sender: Sender, subdomain: string): Place {
  let current = subdomain;
  const { url: template } = means.config;
  const look = async ({ accessToken, refreshToken }: KommoTokens): Promise<string | undefined> => {
    const host = knowingHost(template, accessToken);
    if (host === undefined) return undefined;
    const secrets = [accessToken, refreshToken ?? ''];
    const ask = async (
      path: string,
      headers: Record<string, string>,
    ): Promise<string | undefined> => {
      const url = `${addressOf(template, host)}${path}`;
      const answer = await sender.get({ url, lane: 'interactive', headers });
      const judged = await judge(means, answer, { path, secrets });
      return named.safeParse(judged.kind === 'value' ? judged.value : undefined).data?.subdomain;
    };
    const bearer = { authorization: `Bearer ${accessToken}` };
    return (
      (refreshToken === undefined
        ? undefined
        : await ask('/oauth2/account/current/subdomain', { 'x-refresh-token': refreshToken })) ??
      (await ask('/oauth2/account/subdomain', bearer)) ??
      ask('/api/v4/account', bearer)
    );
  };
  return {
    subdomain: () => current,
    base: () => addressOf(template, current),
    move: async (tokens) => {
      const found = await look(tokens).catch((error: unknown) => {
        if (error instanceof KommoError) return undefined;
        throw error;
      });
      if (found === undefined || found === current) return false;
      means.log.warn({ from: current, to: found }, 'a Kommo account was renamed');
      current = found;
      return true;
    },
  };
}
