import { z } from 'zod';
import { contacts } from '../../../domain/entities/contacts.ts';
import { leads } from '../../../domain/entities/leads.ts';
import type { Entity } from '../../../domain/entity.ts';
import {
  contactDuplicatesSchema,
  duplicatesKey,
  leadDuplicatesSchema,
  type DuplicatesQuery,
} from '../../../platform/entity-sql/duplicates.ts';
import { principalOf, type Access, type App, type Context } from '../context.ts';
import { placeOf } from './entity-routes.ts';
import { loadDuplicates } from './loaders.ts';
import { read } from './read.ts';
import { answeredRow, answers, idSchema, readHeaders } from './schemas.ts';

const total = z.int().describe('All of the group, also those beyond the first that are shown.');

/** Rows that look like one and the same, in groups; what to do about it is for people, or for a merge. */
export function registerDuplicateRoutes(app: App, context: Context): void {
  registerDuplicates(app, context, {
    entity: contacts,
    access: { permission: 'contacts' },
    summary: 'Contacts that share a phone number, however it is dialled, or an e-mail address',
    querystring: contactDuplicatesSchema,
    group: z.object({ key: z.string(), total, contacts: z.array(answeredRow(contacts)) }),
  });
  registerDuplicates(app, context, {
    entity: leads,
    access: { permission: 'leads' },
    summary: 'Open leads of one contact in one pipeline, where there are several',
    querystring: leadDuplicatesSchema,
    group: z.object({
      contact_id: idSchema,
      pipeline_id: idSchema,
      total,
      leads: z.array(answeredRow(leads)),
    }),
  });
}

type Duplicates = {
  entity: Entity;
  access: Access;
  summary: string;
  querystring: z.ZodType<DuplicatesQuery>;
  group: z.ZodType;
};

function registerDuplicates(
  app: App,
  context: Context,
  { entity, access, summary, querystring, group }: Duplicates,
): void {
  const answer = z.object({
    data: z.array(group),
    limit: z.int(),
    next_cursor: z.string().optional().describe('Absent on the last page.'),
  });
  app.get(
    `/api/${entity.table}/duplicates`,
    {
      config: { access },
      schema: {
        tags: [entity.table],
        summary,
        querystring,
        headers: readHeaders,
        response: answers(200, answer),
      },
    },
    async (request, reply) => {
      const query = request.query as DuplicatesQuery;
      const { accountId } = principalOf(request);
      const body = await read(context, request, reply, {
        place: placeOf(request, entity, 'list', duplicatesKey(query)),
        load: (signal) => loadDuplicates(context.database, { accountId, query, signal }),
      });
      return reply.send(body);
    },
  );
}
