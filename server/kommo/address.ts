/** What may stand before .kommo.com. */
const SUBDOMAIN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

export function isSubdomain(text: string): boolean {
  return SUBDOMAIN.test(text);
}

/**
 * Where an account is reached: `template` (KOMMO_URL) with its subdomain.
 * @throws RangeError for what is no subdomain: a token would go to another host.
 */
export function addressOf(template: string, subdomain: string): string {
  if (!isSubdomain(subdomain)) throw new RangeError('not a subdomain');
  return template.replace('{subdomain}', subdomain);
}

/**
 * The subdomain under which a host is reached by the same template; undefined: by none. Hosts come out of tokens that
 * nobody has verified: only those that the template allows are ever asked. A template with the subdomain in its path
 * has one host, and the first part of the name counts.
 */
export function subdomainOfHost(template: string, host: string): string | undefined {
  const wanted = host.toLowerCase();
  const { host: pattern } = new URL(template.replace('{subdomain}', '-subdomain-'));
  const [before, after] = pattern.split('-subdomain-');
  const inPath = after === undefined;
  const end = after ?? '';
  if (!inPath && !(wanted.startsWith(before ?? '') && wanted.endsWith(end))) return undefined;
  const name = inPath
    ? wanted.split('.')[0]
    : wanted.slice(before?.length ?? 0, wanted.length - end.length);
  return name !== undefined && isSubdomain(name) ? name : undefined;
}
