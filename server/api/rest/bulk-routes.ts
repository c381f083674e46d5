import { z } from 'zod';
import { contacts } from '../../../domain/entities/contacts.ts';
import { assignTag, removeTag } from '../../commands/assign-tag.ts';
import { changeContacts, CONTACTS_MAX } from '../../commands/change-contacts.ts';
import { changeLeads, LEADS_MAX } from '../../commands/change-leads.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { assertAccess } from '../plugins/auth.ts';
import { viewerOf } from './entity-routes.ts';
import { notFound } from './read.ts';
import { answers, countsSchema, idParams, idSchema, oneOf, writeHeaders } from './schemas.ts';
import { write } from './write.ts';

const ids = z.array(idSchema).min(1).max(LEADS_MAX);
const tagIds = z.array(idSchema).min(1).max(100);

const change = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('stage'), ids, stage_id: idSchema }),
  z.strictObject({ action: z.literal('assign'), ids, assigned_to: idSchema.nullable() }),
  z.strictObject({ action: z.enum(['tag', 'untag']), ids, tag_ids: tagIds }),
  z.strictObject({ action: z.enum(['archive', 'unarchive', 'delete', 'restore']), ids }),
  z.strictObject({ action: z.literal('remove'), ids }),
]);

const contactIds = z.array(idSchema).min(1).max(CONTACTS_MAX);
const reason = contacts.columns.do_not_contact_reason.value as z.ZodType<string>;

const contactChange = z.discriminatedUnion('action', [
  z.strictObject({ action: z.enum(['tag', 'untag']), ids: contactIds, tag_ids: tagIds }),
  z.strictObject({
    action: z.literal('do_not_contact'),
    ids: contactIds,
    reason: reason.optional(),
  }),
  z.strictObject({ action: z.literal('allow_contact'), ids: contactIds }),
  z.strictObject({
    action: z.literal('delete'),
    ids: contactIds,
    with_leads: z.boolean().default(false),
    with_chats: z.boolean().default(false),
  }),
]);

const response = answers(200, oneOf(countsSchema));

/** Routes that change many rows by one statement each, and answer how many. */
export function registerBulkRoutes(app: App, context: Context): void {
  app.post(
    '/api/leads/bulk',
    {
      config: { access: { permission: 'leads' } },
      schema: {
        tags: ['leads'],
        summary: 'Change up to 10,000 leads alike; `delete` is the trash, `remove` is for good',
        body: change,
        headers: writeHeaders,
        response,
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId } = principalOf(request);
        const counts = await changeLeads(tx, {
          accountId,
          ids: request.body.ids,
          change: request.body,
        });
        return { status: 200, body: JSON.stringify({ data: counts }) };
      }),
  );
  registerContactsBulk(app, context);
  registerTagging(app, context, 'assign');
  registerTagging(app, context, 'remove');
}

function registerContactsBulk(app: App, context: Context): void {
  app.post(
    '/api/contacts/bulk',
    {
      config: { access: { permission: 'contacts' } },
      schema: {
        tags: ['contacts'],
        summary: 'Change up to 10,000 contacts alike; `delete` is for good, all of them or none',
        body: contactChange,
        headers: writeHeaders,
        response,
      },
    },
    (request, reply) => {
      const change = request.body;
      const principal = principalOf(request);
      if (change.action === 'delete') {
        if (change.with_leads) assertAccess({ permission: 'leads' }, principal);
        if (change.with_chats) assertAccess({ permission: 'chats' }, principal);
      }
      return write(context, request, reply, async (tx) => {
        const counts = await changeContacts(tx, {
          ...viewerOf(request),
          actorId: principal.userId,
          ids: change.ids,
          change,
        });
        return { status: 200, body: JSON.stringify({ data: counts }) };
      });
    },
  );
}

function registerTagging(app: App, context: Context, verb: 'assign' | 'remove'): void {
  const listed = z.array(idSchema).max(LEADS_MAX).default([]);
  app.post(
    `/api/tags/:id/${verb}`,
    {
      config: { access: { permission: 'tags' } },
      schema: {
        tags: ['tags'],
        summary:
          verb === 'assign'
            ? 'Put a tag on leads, contacts and chats'
            : 'Take a tag from leads, contacts and chats',
        params: idParams,
        body: z
          .strictObject({ leads: listed, contacts: listed, chats: listed })
          .refine(
            (body) => Object.values(body).some((named) => named.length > 0),
            'names no lead, no contact and no chat',
          ),
        headers: writeHeaders,
        response,
      },
    },
    (request, reply) => {
      const principal = principalOf(request);
      for (const permission of ['leads', 'contacts', 'chats'] as const)
        if (request.body[permission].length > 0) assertAccess({ permission }, principal);
      return write(context, request, reply, async (tx) => {
        const { accountId, devices } = viewerOf(request);
        const tagging = { accountId, devices, tagId: request.params.id, ...request.body };
        const counts = await (verb === 'assign' ? assignTag(tx, tagging) : removeTag(tx, tagging));
        if (!counts) throw notFound();
        return { status: 200, body: JSON.stringify({ data: counts }) };
      });
    },
  );
}
