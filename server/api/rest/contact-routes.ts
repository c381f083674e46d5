import { z } from 'zod';
import { isStorable, NOT_STORABLE } from '../../../domain/column.ts';
import { contacts } from '../../../domain/entities/contacts.ts';
import { createSchema, patchSchema, type Entity } from '../../../domain/entity.ts';
import { createContact } from '../../commands/create-contact.ts';
import { deleteContact } from '../../commands/delete-contact.ts';
import { resetContactName } from '../../commands/reset-contact-name.ts';
import { updateContact } from '../../commands/update-contact.ts';
import { principalOf, type App, type Context, type Request } from '../context.ts';
import { assertAccess } from '../plugins/auth.ts';
import { answerDeleted, answerRow, viewerOf } from './entity-routes.ts';
import { readIfMatch } from './request-headers.ts';
import {
  answeredRow,
  answers,
  idParams,
  idSchema,
  oneOf,
  versionedWriteHeaders,
  writeHeaders,
} from './schemas.ts';
import { write } from './write.ts';

const config = { access: { permission: 'contacts' } } as const;
const tags = ['contacts'];
const response = answers(200, oneOf(answeredRow(contacts)));

/** Contacts as people write them: the phone in any of the ways it is typed, turned into digits by the command. */
const typedContacts: Entity = {
  ...contacts,
  columns: {
    ...contacts.columns,
    phone: {
      ...contacts.columns.phone,
      value: z
        .string()
        .max(256)
        .refine(isStorable, NOT_STORABLE)
        .describe('As people type it; stored as E.164 digits.'),
    },
  },
};

const reason = contacts.columns.do_not_contact_reason.value as z.ZodType<string>;
const flag = z.enum(['true', 'false']).default('false');

/**
 * Where contacts differ from the plain routes: phones are read as they are typed, do-not-contact says who, a name is
 * taken from a device, and deleting one minds its leads and chats.
 */
export function registerContactRoutes(app: App, context: Context): void {
  registerCreate(app, context);
  registerUpdate(app, context);
  registerDoNotContact(app, context);
  registerResetName(app, context);
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
        body: createSchema(typedContacts),
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
        body: patchSchema(typedContacts),
        headers: versionedWriteHeaders,
        response,
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const change = { ...changeOf(request), values: request.body };
        return answerRow(contacts, await updateContact(tx, change));
      }),
  );
}

function registerDoNotContact(app: App, context: Context): void {
  const path = '/api/contacts/:id/do-not-contact';
  app.post(
    path,
    {
      config,
      schema: {
        tags,
        summary: 'Bar a contact: nothing is sent to it any more',
        params: idParams,
        body: z.strictObject({ reason: reason.optional() }).nullish(),
        headers: versionedWriteHeaders,
        response,
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const said = request.body?.reason;
        const values = {
          do_not_contact: true,
          ...(said === undefined ? {} : { do_not_contact_reason: said }),
        };
        return answerRow(contacts, await updateContact(tx, { ...changeOf(request), values }));
      }),
  );
  app.delete(
    path,
    {
      config,
      schema: {
        tags,
        summary: 'Let a contact be written to again',
        params: idParams,
        headers: versionedWriteHeaders,
        response,
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const values = { do_not_contact: false };
        return answerRow(contacts, await updateContact(tx, { ...changeOf(request), values }));
      }),
  );
}

function registerResetName(app: App, context: Context): void {
  app.post(
    '/api/contacts/:id/reset-name',
    {
      config,
      schema: {
        tags,
        summary: 'Call a contact what a device calls it, or what it calls itself',
        params: idParams,
        body: z
          .strictObject({
            device_id: idSchema
              .optional()
              .describe('Whose address book; absent: the one that named it last.'),
          })
          .nullish(),
        headers: versionedWriteHeaders,
        response,
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices } = viewerOf(request);
        const reset = {
          accountId,
          devices,
          id: request.params.id,
          deviceId: request.body?.device_id,
          ifMatch: readIfMatch(request),
        };
        return answerRow(contacts, await resetContactName(tx, reset));
      }),
  );
}

/** The contact a request is about, and who asks. */
function changeOf(request: Request) {
  const { accountId, userId } = principalOf(request);
  const { id } = request.params as z.output<typeof idParams>;
  return { accountId, actorId: userId, id, ifMatch: readIfMatch(request) };
}

function registerDelete(app: App, context: Context): void {
  app.delete(
    '/api/contacts/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Delete a contact for good; with its leads and chats only if asked to',
        params: idParams,
        querystring: z.strictObject({ with_leads: flag, with_chats: flag }),
        headers: versionedWriteHeaders,
        response,
      },
    },
    (request, reply) => {
      const principal = principalOf(request);
      const withLeads = request.query.with_leads === 'true';
      const withChats = request.query.with_chats === 'true';
      if (withLeads) assertAccess({ permission: 'leads' }, principal);
      if (withChats) assertAccess({ permission: 'chats' }, principal);
      return write(context, request, reply, async (tx) => {
        const contact = {
          ...viewerOf(request),
          id: request.params.id,
          ifMatch: readIfMatch(request),
        };
        return answerDeleted(await deleteContact(tx, { ...contact, withLeads, withChats }));
      });
    },
  );
}
