import { z } from 'zod';
import type { App, Context } from '../context.ts';
import { JSON_TYPE } from '../rest/read.ts';
import { answers } from '../rest/schemas.ts';
import { registerOpsDeviceRoutes } from './device-routes.ts';
import { checkHealth } from './health.ts';
import { describeSlots, WalRate } from './slots.ts';
import type { RedisClient } from '../../../platform/redis.ts';

const health = z.object({
  status: z.enum(['green', 'red']),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), says: z.string() })),
});
const tags = ['ops'];

/** For probes, Prometheus and people with the ops permission. */
export function registerOpsRoutes(
  app: App,
  context: Context,
  redis: RedisClient | undefined,
): void {
  const { config, database, cache } = context;
  app.get(
    '/health/live',
    {
      config: { access: 'public', rateLimit: false },
      schema: {
        tags,
        summary: 'The process runs',
        security: [],
        response: answers(200, z.object({ status: z.literal('green') })),
      },
    },
    (_request, reply) => reply.type(JSON_TYPE).send('{"status":"green"}'),
  );
  app.get(
    '/health/ready',
    {
      config: { access: 'public', rateLimit: false },
      schema: {
        tags,
        summary: 'What this process depends on, in words; 503 when something is red',
        security: [],
        response: { 200: health, 503: health },
      },
    },
    async (_request, reply) => {
      const judged = await checkHealth({ database, cache, redis, slot: config.slot });
      return reply
        .code(judged.status === 'green' ? 200 : 503)
        .send({ ...judged, checks: [...judged.checks] });
    },
  );
  registerMetricsRoute(app, context);
  registerSlotsRoute(app, context);
  registerOpsDeviceRoutes(app, context);
}

function registerMetricsRoute(app: App, { database, metrics }: Context): void {
  app.get(
    '/metrics',
    {
      config: { access: 'public', rateLimit: false },
      schema: {
        tags,
        summary: 'Prometheus metrics',
        security: [],
        response: { 200: { content: { 'text/plain': { schema: z.string() } } } },
      },
    },
    async (_request, reply) => {
      const { total, idle, waiting } = database.stats();
      metrics.poolConnections.set({ state: 'busy' }, total - idle);
      metrics.poolConnections.set({ state: 'idle' }, idle);
      metrics.poolConnections.set({ state: 'waiting' }, waiting);
      return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics());
    },
  );
}

function registerSlotsRoute(app: App, { config, database, cache, now }: Context): void {
  const rate = new WalRate();
  app.get(
    '/ops/slots',
    {
      config: { access: { permission: 'ops' } },
      schema: {
        tags,
        summary: 'The replication slot: who reads it, how far, what it keeps, how long that lasts',
        response: answers(200, z.object({ data: z.array(z.record(z.string(), z.unknown())) })),
      },
    },
    async (_request, reply) => {
      const isLive = await cache.isLive();
      const data = await describeSlots(database, {
        slot: config.slot,
        rate,
        nowMs: now(),
        isLive,
      });
      return reply.type(JSON_TYPE).send(JSON.stringify({ data }));
    },
  );
}
