import { z } from 'zod';
import { DASHBOARD, PIPELINE_COUNTS } from '../../../domain/cache-key.ts';
import { pipeline_stages } from '../../../domain/entities/pipeline_stages.ts';
import { rowSchema } from '../../../domain/entity.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { viewerOf } from './entity-routes.ts';
import { read } from './read.ts';
import { answers, idSchema, oneOf, readHeaders } from './schemas.ts';
import {
  dashboardKey,
  parseDashboardKey,
  PIPELINE_COUNTS_KEY,
  readDashboard,
  readPipelineCounts,
  seesEverything,
} from './stats.ts';

const values = z
  .record(z.string(), z.number())
  .describe('Sums by currency: amounts of two currencies have no sum.');
const counted = z.object({ leads: z.int(), values });
const pipelineCounts = z.array(
  z.object({
    id: idSchema,
    name: z.string(),
    stages: z.array(
      rowSchema(pipeline_stages)
        .pick({ id: true, name: true, color: true, type: true })
        .extend(counted.shape),
    ),
  }),
);

const dashboard = z.object({
  timezone: z.string(),
  day_began_at: z.iso.datetime().describe('When today began where the account is.'),
  contacts: z.object({ total: z.int(), created_today: z.int() }).optional(),
  interactions: z
    .object({ due_today: z.int(), overdue: z.int() })
    .optional()
    .describe('By next_action_at.'),
  leads: z
    .object({
      total: z.int(),
      open: counted,
      won: counted,
      lost: counted,
      pipelines: pipelineCounts,
    })
    .optional()
    .describe('Neither archived nor in the trash.'),
  chats: z.object({ total: z.int(), unread: z.int(), unread_messages: z.int() }).optional(),
  messages: z.object({ received_today: z.int(), sent_today: z.int() }).optional(),
  devices: z.object({ total: z.int(), statuses: z.record(z.string(), z.int()) }).optional(),
});

/** Counts of the account. */
export function registerStatsRoutes(app: App, context: Context): void {
  app.get(
    '/api/stats',
    {
      config: { access: 'member' },
      schema: {
        tags: ['stats'],
        summary: 'What there is in the account, counted: the parts that the role may see',
        headers: readHeaders,
        response: answers(200, oneOf(dashboard)),
      },
    },
    async (request, reply) => {
      const viewer = viewerOf(request);
      const field = dashboardKey(context.now());
      const moment = parseDashboardKey(field) ?? '';
      const body = await read(context, request, reply, {
        // One answer is kept: that of whoever sees everything.
        place: seesEverything(viewer) ? { family: DASHBOARD, field } : undefined,
        load: (signal) => readDashboard(context.database, { ...viewer, moment, signal }),
      });
      return reply.send(body);
    },
  );
  app.get(
    '/api/pipelines/counts',
    {
      config: { access: { permission: 'leads' } },
      schema: {
        tags: ['pipelines'],
        summary: 'How many leads each stage of every pipeline has, and what they are worth',
        headers: readHeaders,
        response: answers(200, oneOf(pipelineCounts)),
      },
    },
    async (request, reply) => {
      const { accountId } = principalOf(request);
      const body = await read(context, request, reply, {
        place: { family: PIPELINE_COUNTS, field: PIPELINE_COUNTS_KEY },
        load: (signal) => readPipelineCounts(context.database, { accountId, signal }),
      });
      return reply.send(body);
    },
  );
}
