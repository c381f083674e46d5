import { isIPv6 } from 'node:net';
import rateLimit from '@fastify/rate-limit';
import { ClarinError } from '../../../domain/errors.ts';
import type { App, Context } from '../context.ts';

/** Sessions and addresses remembered at once; the least recently seen are forgotten first. */
const CALLERS_MAX = 20_000;
const MINUTE_MS = 60_000;

/** Counts requests in memory, per session where there is one, else per address. */
export async function registerRateLimit(app: App, context: Context): Promise<void> {
  await app.register(rateLimit, {
    global: true,
    max: context.config.rateLimitPerMinute,
    timeWindow: MINUTE_MS,
    cache: CALLERS_MAX,
    keyGenerator: (request) =>
      request.claims
        ? `session ${request.claims.sessionId}`
        : `address ${callerAddress(request.ip)}`,
    errorResponseBuilder: (_request, { ttl }) =>
      new ClarinError('rate_limited', 'too many requests', {
        retryAfterSeconds: Math.ceil(ttl / 1_000),
      }),
  });
}

/** Stricter, and by address only: for routes that take a password or a refresh token. */
export function credentialLimit(context: Context) {
  return {
    max: context.config.loginLimitPerMinute,
    timeWindow: MINUTE_MS,
    keyGenerator: (request: { ip: string }) => `credentials ${callerAddress(request.ip)}`,
  };
}

/**
 * What addresses are counted by. Whoever has one IPv6 address has the 2^64 of its network (RFC 6177), so those count
 * as one; an IPv4 address written as IPv6 stays one address.
 */
export function callerAddress(ip: string): string {
  const address = ip.replace(/%.*$/, '');
  if (!isIPv6(address)) return ip;
  const written = new URL(`http://[${address}]`).hostname.slice(1, -1);
  if (written.startsWith('::ffff:')) return written;
  const [head = '', tail = ''] = written.split('::');
  const before = head === '' ? [] : head.split(':');
  const behind = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - before.length - behind.length }, () => '0');
  return `${[...before, ...zeros, ...behind].slice(0, 4).join(':')}::/64`;
}
