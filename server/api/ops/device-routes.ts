import { z } from 'zod';
import { notifyWhatsapp } from '../../../platform/whatsapp-notes.ts';
import { addVersion } from '../../commands/whatsapp-versions.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { viewerOf } from '../rest/entity-routes.ts';
import { JSON_TYPE } from '../rest/read.ts';
import { answers, oneOf, writeHeaders } from '../rest/schemas.ts';
import { write } from '../rest/write.ts';
import { describeDevices } from './devices.ts';

const tags = ['ops'];
const instant = z.iso.datetime();
const page = z.object({
  devices: z.array(
    z.object({
      status: z.string(),
      status_code: z.string().optional(),
      status_reason: z.string().optional().describe('The same for people.'),
      retry_at: instant.optional().describe('When the first of them is tried again by itself.'),
      count: z.int(),
      alive_count: z.int().describe('Of them, those that a frame came from within a minute.'),
    }),
  ),
  pending_count: z.int().describe('Messages that wait to be sent.'),
  oldest_pending_seconds: z.number().optional(),
  worker_count: z.int().describe('Ingest processes that are alive.'),
  leased_count: z.int().describe('Devices, of all accounts, that one of them works for.'),
  breaker: z.object({
    is_open: z
      .boolean()
      .describe('WhatsApp refuses the version of the client: no device connects.'),
    opened_at: instant.optional(),
    probe_at: instant.optional().describe('When the next device tries.'),
    probe_version: z.string().optional().describe('What was tried last.'),
  }),
  versions: z.array(
    z.object({
      version: z.string(),
      added_at: instant.optional(),
      proven_at: instant.optional(),
      refused_at: instant.optional(),
    }),
  ),
});

/** Fields of the handshake: 32 bits each. */
const FIELD_MAX = 2 ** 32 - 1;
const version = z
  .string()
  .regex(/^\d{1,9}\.\d{1,9}\.\d{1,10}$/, 'is three numbers, as 2.3000.1043857760')
  .refine((text) => text.split('.').every((part) => Number(part) <= FIELD_MAX), {
    message: `has a number beyond ${FIELD_MAX}`,
  })
  // As it is compared and stored: without zeros in front.
  .transform((text) => text.split('.').map(Number).join('.'));

/** How devices are, for operators: those that they see, for super administrators all. */
export function registerOpsDeviceRoutes(app: App, context: Context): void {
  app.get(
    '/ops/devices',
    {
      config: { access: { permission: 'ops' } },
      schema: {
        tags,
        summary: 'Devices by status, what waits for them, who works, and the version of the client',
        response: answers(200, oneOf(page)),
      },
    },
    async (request, reply) => {
      const { isSuperAdmin } = principalOf(request);
      const reach = isSuperAdmin ? undefined : viewerOf(request);
      const data = await describeDevices(context.database, { reach });
      return reply.type(JSON_TYPE).send(JSON.stringify({ data }));
    },
  );
  app.post(
    '/ops/devices/versions',
    {
      config: { access: 'super_admin' },
      schema: {
        tags,
        summary: 'A version of the client to try when the one in use is refused',
        description:
          'While WhatsApp refuses the version in use, one device tries this one at once; let in, it is used by all. ' +
          'Until then, and for a version that works already, nothing changes.',
        body: z.strictObject({ version }).meta({ example: { version: '2.3000.1043857760' } }),
        headers: writeHeaders,
        response: answers(200, oneOf(z.object({ version: z.string(), is_new: z.boolean() }))),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { version: given } = request.body;
        const isNew = await addVersion(tx, given);
        if (isNew) await notifyWhatsapp(tx, { kind: 'version' });
        const { userId } = principalOf(request);
        context.log.info({ version: given, actor: userId, isNew }, 'a version of WhatsApp to try');
        const data = { version: given, is_new: isNew };
        return { status: 200, body: JSON.stringify({ data }) };
      }),
  );
}
