import { randomUUID } from 'node:crypto';
import Fastify, { LogController, type FastifyBaseLogger } from 'fastify';
import {
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import { ENTITIES } from '../../domain/registry.ts';
import type { App, Context } from './context.ts';
import { registerOpsRoutes } from './ops/ops-routes.ts';
import { registerAuth } from './plugins/auth.ts';
import { registerDeadline, UPLOAD_MS_MAX } from './plugins/deadline.ts';
import { refuseUnreadable, registerErrors } from './plugins/errors.ts';
import { registerHeaders } from './plugins/headers.ts';
import { registerJsonBody } from './plugins/json-body.ts';
import { registerMetrics } from './plugins/metrics.ts';
import { registerMultipart } from './plugins/multipart.ts';
import { registerOpenApi } from './plugins/openapi.ts';
import { registerRateLimit } from './plugins/rate-limit.ts';
import { registerStrict } from './plugins/strict.ts';
import { registerAccountRoutes } from './rest/account-routes.ts';
import { registerApiKeyRoutes } from './rest/api-key-routes.ts';
import { registerAuthRoutes } from './rest/auth-routes.ts';
import { registerBulkRoutes } from './rest/bulk-routes.ts';
import { registerChatRoutes } from './rest/chat-routes.ts';
import { registerCampaignRoutes } from './rest/campaign-routes.ts';
import { registerContactRoutes } from './rest/contact-routes.ts';
import { registerDeviceRoutes } from './rest/device-routes.ts';
import { registerDuplicateRoutes } from './rest/duplicate-routes.ts';
import { registerEntityRoutes, type Verb } from './rest/entity-routes.ts';
import { registerExportRoutes } from './rest/export-routes.ts';
import { registerImportRoutes } from './rest/import-routes.ts';
import { registerInteractionRoutes } from './rest/interaction-routes.ts';
import { registerKommoRoutes } from './rest/kommo-routes.ts';
import { registerLeadRoutes } from './rest/lead-routes.ts';
import { registerMediaRoutes } from './rest/media-routes.ts';
import { registerMemberRoutes } from './rest/member-routes.ts';
import { registerMessageRoutes } from './rest/message-routes.ts';
import { registerMergeRoutes } from './rest/merge-routes.ts';
import { registerNameRoutes } from './rest/name-routes.ts';
import { registerPipelineRoutes } from './rest/pipeline-routes.ts';
import { registerSendingRoutes } from './rest/sending-routes.ts';
import { registerSessionListRoutes } from './rest/session-list-routes.ts';
import { registerSessionRoutes } from './rest/session-routes.ts';
import { registerStatsRoutes } from './rest/stats-routes.ts';
import { registerTimelineRoutes } from './rest/timeline-routes.ts';
import { registerUserRoutes } from './rest/user-routes.ts';
import type { RedisClient } from '../../platform/redis.ts';

const BODY_BYTES_MAX = 1024 * 1024;
/** A socket on which nothing happens is closed. */
const CONNECTION_TIMEOUT_MS = 60_000;

/** Verbs whose own routes stand further down, with rules that the plain ones do not have. */
const WRITTEN_BY_HAND: Readonly<Record<string, readonly Verb[]>> = {
  leads: ['delete'],
  contacts: ['create', 'update', 'delete'],
  chats: ['create', 'delete'],
  interactions: ['create'],
  campaigns: ['create', 'update', 'delete'],
  media: ['create'],
  roles: ['create', 'update', 'delete'],
  memberships: ['create', 'update', 'delete'],
  api_keys: ['create', 'update', 'delete'],
  devices: ['delete'],
};

export type AppOptions = Omit<Context, 'now'> & {
  now?: () => number;
  /** For the health check only. */
  redis?: RedisClient | undefined;
};

/**
 * The whole API in the order in which a request meets it. Not listening yet; tests use `inject`.
 */
export async function buildApp({ redis, now, ...options }: AppOptions): Promise<App> {
  const context: Context = { ...options, now: now ?? Date.now };
  const app = createServer(context);

  // What every request passes, in this order.
  registerDeadline(app);
  registerHeaders(app, context);
  registerMetrics(app, context);
  await registerAuth(app, context);
  await registerRateLimit(app, context);
  registerErrors(app);
  registerJsonBody(app);
  await registerOpenApi(app);
  await registerMultipart(app);
  registerStrict(app);

  registerOpsRoutes(app, context, redis);
  registerAuthRoutes(app, context);
  registerSessionRoutes(app, context);
  registerSessionListRoutes(app, context);
  registerAccountRoutes(app, context);
  registerUserRoutes(app, context);
  registerNameRoutes(app, context);
  for (const entity of ENTITIES) {
    if (entity.rest !== 'none')
      registerEntityRoutes(app, context, entity, WRITTEN_BY_HAND[entity.table]);
  }
  registerMemberRoutes(app, context);
  registerApiKeyRoutes(app, context);
  registerDeviceRoutes(app, context);
  await registerKommoRoutes(app, context);
  registerContactRoutes(app, context);
  registerMergeRoutes(app, context);
  registerDuplicateRoutes(app, context);
  registerTimelineRoutes(app, context);
  registerInteractionRoutes(app, context);
  registerCampaignRoutes(app, context);
  registerLeadRoutes(app, context);
  registerBulkRoutes(app, context);
  registerPipelineRoutes(app, context);
  registerStatsRoutes(app, context);
  registerMediaRoutes(app, context);
  registerImportRoutes(app, context);
  registerExportRoutes(app, context);
  registerChatRoutes(app, context);
  registerMessageRoutes(app, context);
  registerSendingRoutes(app, context);
  return app;
}

function createServer(context: Context): App {
  const app = Fastify({
    loggerInstance: context.log as FastifyBaseLogger,
    // One line per state change, none per request: metrics count those.
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request' }),
    requestIdHeader: false,
    genReqId: (raw) => acceptRequestId(raw.headers['x-request-id']) ?? randomUUID(),
    bodyLimit: BODY_BYTES_MAX,
    // The longest upload; every other request has its own, shorter time (plugins/deadline.ts).
    requestTimeout: UPLOAD_MS_MAX,
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    // A number of hops, not `true`: everything further left in X-Forwarded-For is what the caller says.
    trustProxy:
      context.config.trustProxy > 0 && ((_address, hop) => hop < context.config.trustProxy),
    frameworkErrors: refuseUnreadable,
  }).withTypeProvider<ZodTypeProvider>();
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  return app;
}

/** An id a caller may give its request: what can stand in a log line without harm. */
function acceptRequestId(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && /^[A-Za-z0-9._:-]{1,64}$/.test(header) ? header : undefined;
}
