import type { IncomingMessage, ServerResponse } from 'node:http';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { ClarinError } from '../../domain/errors.ts';
import { may, type Permission, type Principal } from '../../domain/permission.ts';
import type { AccessClaims } from '../../platform/access.ts';
import type { CacheReader } from '../../platform/cache/reader.ts';
import type { Config } from '../../platform/config.ts';
import type { Log } from '../../platform/log.ts';
import type { MediaStore } from '../../platform/media/store.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Database } from '../../platform/postgres.ts';

/** What every route works with. Passed as an argument, never looked up. */
export type Context = {
  readonly config: Config;
  readonly database: Database;
  /** The API's only way to Redis. */
  readonly cache: CacheReader;
  /** Bytes of files; what they are is in Postgres. */
  readonly media: MediaStore;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Milliseconds since 1970. */
  readonly now: () => number;
};

export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

export type Request = FastifyRequest;
export type Reply = FastifyReply;

/**
 * Who may call a route. Every route says so in its config, or the process does not start.
 * `member`: any live session; `super_admin`: across accounts.
 */
export type Access = 'public' | 'member' | 'super_admin' | { readonly permission: Permission };

declare module 'fastify' {
  interface FastifyContextConfig {
    access?: Access;
    /** A program's key may not call it, whatever its permissions. */
    onlyPeople?: boolean;
  }
  interface FastifyRequest {
    /** What a valid token says; null without one. */
    claims: AccessClaims | null;
    /** The token came as a cookie, which a browser sends by itself. */
    isCookieAuthenticated: boolean;
    principal: Principal | null;
    /** Aborted when the caller is gone or the time is over: goes into every call that leaves the process. */
    cancel: AbortSignal;
  }
}

/** @throws ClarinError `unauthenticated` on a public route without a session. */
export function principalOf(request: Request): Principal {
  if (!request.principal) throw new ClarinError('unauthenticated', 'log in first');
  return request.principal;
}

/** Which restricted columns the caller may see, in the form the reads of platform/entity-sql.ts take. */
export function seesOf(principal: Principal): (permission: Permission) => boolean {
  return (permission) => may(principal, permission);
}
