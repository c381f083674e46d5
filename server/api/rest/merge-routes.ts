import { z } from 'zod';
import { contacts } from '../../../domain/entities/contacts.ts';
import { rowSchema } from '../../../domain/entity.ts';
import { mergeContacts, MERGED_MAX } from '../../commands/merge-contacts.ts';
import { planMerge } from '../../commands/merge-plan.ts';
import type { App, Context } from '../context.ts';
import { answerRow, viewerOf } from './entity-routes.ts';
import { read } from './read.ts';
import { readIfMatch } from './request-headers.ts';
import {
  answeredRow,
  answers,
  idParams,
  idSchema,
  oneOf,
  readHeaders,
  versionedWriteHeaders,
} from './schemas.ts';
import { write } from './write.ts';

const config = { access: { permission: 'contacts' } } as const;
const tags = ['contacts'];
const path = '/api/contacts/:id/merge';
const contactIds = z.array(idSchema).min(1).max(MERGED_MAX);

const preview = z.object({
  contact: rowSchema(contacts).describe('The contact as it would be.'),
  moves: z
    .object({
      chats: z.int(),
      leads: z.int(),
      interactions: z.int(),
      tags: z.int(),
      identities: z.int(),
      campaign_recipients: z.int(),
    })
    .describe('How many rows would come to it; tags and campaigns it has already do not count.'),
});

/** One contact of several: what it would be, and doing it. Whoever may not move what hangs on them may do neither. */
export function registerMergeRoutes(app: App, context: Context): void {
  app.get(
    path,
    {
      config,
      schema: {
        tags,
        summary: 'What would become of a contact if others were merged into it',
        params: idParams,
        querystring: z.strictObject({
          contact_ids: z
            .string()
            .regex(/^[1-9]\d{0,15}(?:,[1-9]\d{0,15})*$/, 'is a list of ids, separated by commas')
            .transform((text) => distinct(text.split(',').map(Number)))
            .pipe(contactIds),
        }),
        headers: readHeaders,
        response: answers(200, oneOf(preview)),
      },
    },
    async (request, reply) => {
      const merging = {
        ...viewerOf(request),
        id: request.params.id,
        contactIds: request.query.contact_ids,
      };
      const body = await read(context, request, reply, {
        load: async (signal) => {
          const plan = await planMerge(context.database, merging, { isLocked: false, signal });
          return JSON.stringify({ data: { contact: plan.merged, moves: plan.moves } });
        },
      });
      return reply.send(body);
    },
  );
  app.post(
    path,
    {
      config,
      schema: {
        tags,
        summary: 'Merge others into a contact: what is theirs becomes its own, then they are gone',
        params: idParams,
        body: z.strictObject({ contact_ids: contactIds }),
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(answeredRow(contacts))),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const merging = {
          ...viewerOf(request),
          id: request.params.id,
          contactIds: distinct(request.body.contact_ids),
        };
        return answerRow(
          contacts,
          await mergeContacts(tx, { ...merging, ifMatch: readIfMatch(request) }),
        );
      }),
  );
}

function distinct(ids: readonly number[]): number[] {
  return [...new Set(ids)];
}
