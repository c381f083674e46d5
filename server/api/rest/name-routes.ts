import { z } from 'zod';
import { devices } from '../../../domain/entities/devices.ts';
import { users } from '../../../domain/entities/users.ts';
import { rowSchema, type Entity } from '../../../domain/entity.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { viewerOf } from './entity-routes.ts';
import {
  CHAT_DEVICE_COLUMNS,
  listChatDevicesJson,
  listPeopleJson,
  PERSON_COLUMNS,
} from './names.ts';
import { read } from './read.ts';
import { answers, countSchema, listOf, readHeaders } from './schemas.ts';

const query = z.strictObject({
  page: countSchema({ fallback: 1, max: 10_000 }),
  limit: countSchema({ fallback: 50, max: 200 }),
});

/**
 * Who and what the ids in rows stand for, for those who may work with the rows and not manage the members or the devices:
 * the names, and nothing else.
 */
export function registerNameRoutes(app: App, context: Context): void {
  app.get(
    '/api/people',
    {
      config: { access: 'member' },
      schema: {
        tags: ['users'],
        summary: 'Names of the members of the account: whom leads are assigned to, who made what',
        querystring: query,
        headers: readHeaders,
        response: answers(200, listOf(shapeOf(users, PERSON_COLUMNS))),
      },
    },
    async (request, reply) => {
      const { accountId } = principalOf(request);
      const asked = { accountId, query: request.query };
      const body = await read(context, request, reply, {
        load: (signal) => listPeopleJson(context.database, { ...asked, signal }),
      });
      return reply.send(body);
    },
  );
  app.get(
    '/api/chats/devices',
    {
      config: { access: { permission: 'chats' } },
      schema: {
        tags: ['chats'],
        summary: 'The devices you may chat through: one of them opens a chat',
        querystring: query,
        headers: readHeaders,
        response: answers(200, listOf(shapeOf(devices, CHAT_DEVICE_COLUMNS))),
      },
    },
    async (request, reply) => {
      const { accountId, devices: own } = viewerOf(request);
      const asked = { accountId, devices: own, query: request.query };
      const body = await read(context, request, reply, {
        load: (signal) => listChatDevicesJson(context.database, { ...asked, signal }),
      });
      return reply.send(body);
    },
  );
}

/** The row with these columns only. */
function shapeOf(entity: Entity, columns: readonly string[]): z.ZodObject {
  const { shape } = rowSchema(entity);
  return z.object(Object.fromEntries(columns.map((name) => [name, shape[name] ?? z.unknown()])));
}
