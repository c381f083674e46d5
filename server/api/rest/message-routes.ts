import { z } from 'zod';
import { pageFamily } from '../../../domain/cache-key.ts';
import { messages } from '../../../domain/entities/messages.ts';
import {
  foundMessages,
  messageSearchSchema,
  searchMessages,
} from '../../../platform/entity-sql/message-search.ts';
import { NEWEST_PAGE, pageQuerySchema } from '../../../platform/entity-sql/messages.ts';
import type { App, Context } from '../context.ts';
import { viewerOf } from './entity-routes.ts';
import { sendVersioned } from './etag.ts';
import { loadPage, loadRow } from './loaders.ts';
import { read } from './read.ts';
import { answeredRow, answers, idParams, oneOf, readHeaders } from './schemas.ts';

const config = { access: { permission: 'chats' } } as const;
const tags = ['messages'];

/** Conversations page by page, one message, and the search: one statement each. What a chat opens with is cached. */
export function registerMessageRoutes(app: App, context: Context): void {
  registerPages(app, context);
  registerRow(app, context);
  registerSearch(app, context);
}

function registerPages(app: App, context: Context): void {
  const page = z.object({
    data: z.array(answeredRow(messages)),
    has_older: z.boolean().describe('Go on with before=<id of the last one>.'),
    has_newer: z.boolean().describe('Go on with after=<id of the first one>.'),
    limit: z.int(),
  });
  app.get(
    '/api/chats/:id/messages',
    {
      config,
      schema: {
        tags,
        summary:
          'Messages of a chat, newest first: the newest page, or one before, after or around a message',
        params: idParams,
        querystring: pageQuerySchema(),
        headers: readHeaders,
        response: answers(200, page),
      },
    },
    async (request, reply) => {
      const { params, query } = request;
      const { accountId, devices } = viewerOf(request);
      const isNewest = query.anchor === undefined && query.limit === NEWEST_PAGE.limit;
      const field = String(params.id);
      const body = await read(context, request, reply, {
        // Whoever may not see every device is answered from Postgres, as with rows and lists.
        place:
          isNewest && devices === undefined
            ? { family: pageFamily(messages.table), field }
            : undefined,
        load: (signal) =>
          loadPage(context.database, { accountId, devices, chatId: params.id, query, signal }),
      });
      return reply.send(body);
    },
  );
}

function registerRow(app: App, context: Context): void {
  app.get(
    '/api/messages/:id',
    {
      config,
      schema: {
        tags,
        summary: 'One message, or one thing that was done to a message',
        params: idParams,
        headers: readHeaders,
        response: answers(200, oneOf(answeredRow(messages))),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const viewer = viewerOf(request);
      const body = await read(context, request, reply, {
        load: (signal) => loadRow(context.database, messages, { ...viewer, id, signal }),
      });
      return sendVersioned(request, reply, messages, body);
    },
  );
}

function registerSearch(app: App, context: Context): void {
  const found = z.object({
    data: z.array(answeredRow(foundMessages)),
    limit: z.int(),
    next_cursor: z.string().optional().describe('Absent on the last page.'),
  });
  app.get(
    '/api/messages',
    {
      config,
      schema: {
        tags,
        summary: 'Search the texts of all chats, newest first',
        querystring: messageSearchSchema(),
        headers: readHeaders,
        response: answers(200, found),
      },
    },
    async (request, reply) => {
      const { query } = request;
      const { accountId, devices } = viewerOf(request);
      const body = await read(context, request, reply, {
        load: (signal) => searchMessages(context.database, { accountId, devices, query, signal }),
      });
      return reply.send(body);
    },
  );
}
