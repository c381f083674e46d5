import type { App, Context } from '../context.ts';

const EXPOSED = [
  'Clarin-Cache',
  'Clarin-Cursor',
  'Clarin-Commit',
  'ETag',
  'Idempotency-Replayed',
  'Location',
  'Retry-After',
  'X-Request-Id',
].join(', ');
const ACCEPTED =
  'authorization, content-type, clarin-min-commit, idempotency-key, if-match, if-none-match, x-operation-id, x-request-id';
const PREFLIGHT_SECONDS = 600;

/**
 * Headers of every answer: the request's id, no sniffing, no caching without asking; and for pages of the origins
 * the configuration names, the permission to call from there. https://fetch.spec.whatwg.org/#http-cors-protocol
 */
export function registerHeaders(app: App, context: Context): void {
  const allowed = new Set(context.config.allowedOrigins);
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id);
    reply.header('x-content-type-options', 'nosniff');
    reply.header('cache-control', 'private, no-cache');
    const { origin } = request.headers;
    if (allowed.size > 0) reply.header('vary', 'Origin');
    if (origin === undefined || !allowed.has(origin)) return done();
    reply.header('access-control-allow-origin', origin);
    reply.header('access-control-allow-credentials', 'true');
    reply.header('access-control-expose-headers', EXPOSED);
    if (
      request.method !== 'OPTIONS' ||
      request.headers['access-control-request-method'] === undefined
    )
      return done();
    reply.header('access-control-allow-methods', 'GET, POST, PUT, PATCH, DELETE');
    reply.header('access-control-allow-headers', ACCEPTED);
    reply.header('access-control-max-age', PREFLIGHT_SECONDS);
    // A preflight ends here: `done` is not called once a hook has answered.
    void reply.code(204).send();
  });
}
