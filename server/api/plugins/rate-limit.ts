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
      request.claims ? `session ${request.claims.sessionId}` : `address ${request.ip}`,
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
    keyGenerator: (request: { ip: string }) => `credentials ${request.ip}`,
  };
}
