import { z } from 'zod';
import { contacts } from '../../../domain/entities/contacts.ts';
import { createSchema, patchSchema } from '../../../domain/entity.ts';
import { createContact } from '../../commands/create-contact.ts';
import { deleteContact } from '../../commands/delete-contact.ts';
import { updateContact } from '../../commands/update-contact.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { assertAccess } from '../plugins/auth.ts';
import { answerDeleted, answerRow } from './entity-routes.ts';
import { readIfMatch } from './request-headers.ts';
import {
  answeredRow,
  answers,
  idParams,
  oneOf,
  versionedWriteHeaders,
  writeHeaders,
} from './schemas.ts';
import { write } from './write.ts';

const config = { access: { permission: 'contacts' } } as const;
const tags = ['contacts'];
const response = answers(200, oneOf(answeredRow(contacts)));

/** Where contacts differ from the plain routes: do-not-contact says who, and deleting one minds its leads. */
export function registerContactRoutes(app: App, context: Context): void {
  registerCreate(app, context);
  registerUpdate(app, context);
  registerDelete(app, context);
}

function registerCreate(app: App, context: Context): void {
  app.post(
    '/api/contacts',
    {
      config,
      schema: {
        tags,
        summary: 'Create a contact',
        body: createSchema(contacts),
        headers: writeHeaders,
        response: answers(201, oneOf(answeredRow(contacts))),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, userId } = principalOf(request);
        const contact = { accountId, actorId: userId, values: request.body };
        return answerRow(contacts, await createContact(tx, contact), 201);
      }),
  );
}

function registerUpdate(app: App, context: Context): void {
  app.patch(
    '/api/contacts/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Change a contact: only what is sent',
        params: idParams,
        body: patchSchema(contacts),
        headers: versionedWriteHeaders,
        response,
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, userId } = principalOf(request);
        const change = {
          id: request.params.id,
          values: request.body,
          ifMatch: readIfMatch(request),
        };
        return answerRow(
          contacts,
          await updateContact(tx, { accountId, actorId: userId, ...change }),
        );
      }),
  );
}

function registerDelete(app: App, context: Context): void {
  app.delete(
    '/api/contacts/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Delete a contact for good; with its leads only if asked to',
        params: idParams,
        querystring: z.strictObject({ with_leads: z.enum(['true', 'false']).default('false') }),
        headers: versionedWriteHeaders,
        response,
      },
    },
    (request, reply) => {
      const principal = principalOf(request);
      const withLeads = request.query.with_leads === 'true';
      if (withLeads) assertAccess({ permission: 'leads' }, principal);
      return write(context, request, reply, async (tx) => {
        const contact = {
          accountId: principal.accountId,
          id: request.params.id,
          ifMatch: readIfMatch(request),
        };
        return answerDeleted(await deleteContact(tx, { ...contact, withLeads }));
      });
    },
  );
}
