import { z } from 'zod';
import { device_pairings, PAIRING_KINDS } from '../../../domain/entities/device_pairings.ts';
import { devices } from '../../../domain/entities/devices.ts';
import { rowSchema } from '../../../domain/entity.ts';
import { deleteDevice } from '../../commands/delete-device.ts';
import { cancelPairing, findPairing, pairDevice } from '../../commands/pair-device.ts';
import { wantOfDevice } from '../../commands/want-of-device.ts';
import type { App, Context } from '../context.ts';
import { readDeviceHealth } from './device-health.ts';
import { answerDeleted, answerRow, viewerOf } from './entity-routes.ts';
import { notFound, read } from './read.ts';
import { readIfMatch } from './request-headers.ts';
import {
  answers,
  idParams,
  idSchema,
  oneOf,
  readHeaders,
  versionedWriteHeaders,
  writeHeaders,
} from './schemas.ts';
import { write } from './write.ts';

const config = { access: { permission: 'devices' } } as const;
const tags = ['devices'];
const row = oneOf(rowSchema(devices));
const pairing = oneOf(rowSchema(device_pairings));
const { shape } = rowSchema(devices);
const health = z.object({
  id: idSchema,
  status: shape['status'] ?? z.string(),
  wanted: shape['wanted'] ?? z.string(),
  is_alive: z.boolean().describe('Connected, and something came from WhatsApp within a minute.'),
  status_code: (shape['status_code'] ?? z.string())
    .optional()
    .describe('Why it is so, for programs.'),
  status_reason: z.string().optional().describe('The same for people.'),
  status_since: z.string(),
  retry_at: z
    .string()
    .optional()
    .describe('When it is tried again by itself, if it is wanted connected then.'),
  last_seen_at: z.string().optional(),
  pending_count: z.int().describe('Messages that wait to be sent through it.'),
  oldest_pending_at: z.string().optional(),
  oldest_pending_seconds: z.int().optional().describe('How long the oldest of them has waited.'),
});

/** What is asked of devices: rows that their worker reads. Listing, creating and renaming them is plain. */
export function registerDeviceRoutes(app: App, context: Context): void {
  registerWant(app, context, {
    verb: 'connect',
    wanted: 'connected',
    summary: 'Ask for the device to be connected; `status` says how far its worker is',
  });
  registerWant(app, context, {
    verb: 'disconnect',
    wanted: 'disconnected',
    summary: 'Ask for the device to be disconnected; it stays paired',
  });
  registerWant(app, context, {
    verb: 'logout',
    wanted: 'logged_out',
    summary: 'Ask for the device to be logged out: it has to be paired again afterwards',
  });
  registerPairing(app, context);
  registerPairingReads(app, context);
  registerHealth(app, context);
  registerDelete(app, context);
}

type Want = { verb: string; wanted: 'connected' | 'disconnected' | 'logged_out'; summary: string };

function registerWant(app: App, context: Context, { verb, wanted, summary }: Want): void {
  app.post(
    `/api/devices/:id/${verb}`,
    {
      config,
      schema: {
        tags,
        summary,
        params: idParams,
        headers: writeHeaders,
        response: answers(200, row),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices: own } = viewerOf(request);
        const { id } = request.params as { id: number };
        return answerRow(devices, await wantOfDevice(tx, { accountId, devices: own, id, wanted }));
      }),
  );
}

const asked = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal(PAIRING_KINDS[0]) }),
  z.strictObject({
    kind: z.literal(PAIRING_KINDS[1]),
    phone: z
      .string()
      .min(1)
      .max(256)
      .describe("The device's own number; without a country code the account's."),
  }),
]);

function registerPairing(app: App, context: Context): void {
  app.post(
    '/api/devices/:id/pairing',
    {
      config,
      schema: {
        tags,
        summary:
          'Pair the device, by QR or by a code; one under way that asks for the same goes on',
        description:
          'Its `code` comes from the worker: read it again, or subscribe to device_pairings. It changes, and is away ' +
          'while the connection to WhatsApp is. 409: the device is connected, or is being logged out.',
        params: idParams,
        body: asked,
        headers: writeHeaders,
        response: answers(200, pairing),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices: own } = viewerOf(request);
        const place = { accountId, devices: own, deviceId: request.params.id };
        const json = await pairDevice(tx, { ...place, ...request.body });
        return { status: 200, body: `{"data":${json}}` };
      }),
  );
}

function registerPairingReads(app: App, context: Context): void {
  app.get(
    '/api/devices/:id/pairing',
    {
      config,
      schema: {
        tags,
        summary: 'The pairing under way; 404 when there is none, or no more',
        params: idParams,
        headers: readHeaders,
        response: answers(200, pairing),
      },
    },
    async (request, reply) => {
      const { accountId, devices: own } = viewerOf(request);
      const place = { accountId, devices: own, deviceId: request.params.id };
      const body = await read(context, request, reply, {
        load: async () => {
          const found = await findPairing(context.database, place);
          return found && `{"data":${found.json}}`;
        },
      });
      return reply.send(body);
    },
  );
  app.delete(
    '/api/devices/:id/pairing',
    {
      config,
      schema: {
        tags,
        summary: 'Give up the pairing under way; answers it as it was',
        params: idParams,
        headers: writeHeaders,
        response: answers(200, pairing),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices: own } = viewerOf(request);
        const place = { accountId, devices: own, deviceId: request.params.id };
        const json = await cancelPairing(tx, place);
        if (json === undefined) throw notFound();
        return answerDeleted(json);
      }),
  );
}

function registerHealth(app: App, context: Context): void {
  app.get(
    '/api/devices/:id/health',
    {
      config,
      schema: {
        tags,
        summary: 'How the device is, since when, and what waits for it',
        params: idParams,
        headers: readHeaders,
        response: answers(200, oneOf(health)),
      },
    },
    async (request, reply) => {
      const { accountId, devices: own } = viewerOf(request);
      const place = { accountId, devices: own, id: request.params.id };
      const body = await read(context, request, reply, {
        load: async (signal) => {
          const json = await readDeviceHealth(context.database, { ...place, signal });
          return json && `{"data":${json}}`;
        },
      });
      return reply.send(body);
    },
  );
}

function registerDelete(app: App, context: Context): void {
  app.delete(
    '/api/devices/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Delete a device; its chats and messages stay. Answers it as it was',
        description:
          'Conversations are with people, so they stay, of no device; a role that has some devices only no longer ' +
          'sees them. Campaigns of the device are paused, and what waits to be sent through it fails. Log it out first: ' +
          'afterwards nobody can tell WhatsApp, and the phone goes on naming it under linked devices.',
        params: idParams,
        headers: versionedWriteHeaders,
        response: answers(200, row),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices: own } = viewerOf(request);
        const place = { accountId, devices: own, id: request.params.id };
        return answerDeleted(await deleteDevice(tx, { ...place, ifMatch: readIfMatch(request) }));
      }),
  );
}
