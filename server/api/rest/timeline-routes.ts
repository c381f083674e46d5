import { z } from 'zod';
import { chats } from '../../../domain/entities/chats.ts';
import { interactions } from '../../../domain/entities/interactions.ts';
import { leads } from '../../../domain/entities/leads.ts';
import {
  readTimeline,
  timelineQuerySchema,
  type TimelineQuery,
} from '../../../platform/entity-sql/timeline.ts';
import type { App, Context } from '../context.ts';
import { viewerOf } from './entity-routes.ts';
import { read } from './read.ts';
import { answeredRow, answers, idParams, readHeaders } from './schemas.ts';

/** Everything there is with a contact, by time. Kept nowhere: a change of any of its parts would drop it. */
export function registerTimelineRoutes(app: App, context: Context): void {
  const at = z.iso.datetime().describe('A chat: its last message; a lead: when it was made.');
  const item = z.discriminatedUnion('type', [
    z.object({ type: z.literal('chat'), at, data: answeredRow(chats) }),
    z.object({ type: z.literal('interaction'), at, data: answeredRow(interactions) }),
    z.object({ type: z.literal('lead'), at, data: answeredRow(leads) }),
  ]);
  app.get(
    '/api/contacts/:id/timeline',
    {
      config: { access: { permission: 'contacts' } },
      schema: {
        tags: ['contacts'],
        summary: "A contact's chats, leads and interactions, newest first, as far as the role sees",
        params: idParams,
        querystring: timelineQuerySchema,
        headers: readHeaders,
        response: answers(
          200,
          z.object({
            data: z.array(item),
            limit: z.int(),
            next_cursor: z.string().optional().describe('Absent on the last page.'),
          }),
        ),
      },
    },
    async (request, reply) => {
      const query = request.query as TimelineQuery;
      const viewer = viewerOf(request);
      const contactId = request.params.id;
      const body = await read(context, request, reply, {
        load: (signal) => readTimeline(context.database, { ...viewer, contactId, query, signal }),
      });
      return reply.send(body);
    },
  );
}
