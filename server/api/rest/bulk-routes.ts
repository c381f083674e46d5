import { z } from 'zod';
import { changeLeads, LEADS_MAX } from '../../commands/change-leads.ts';
import { assignTag, removeTag } from '../../commands/assign-tag.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { assertAccess } from '../plugins/auth.ts';
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
  registerTagging(app, context, 'assign');
  registerTagging(app, context, 'remove');
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
            ? 'Put a tag on leads and contacts'
            : 'Take a tag from leads and contacts',
        params: idParams,
        body: z
          .strictObject({ leads: listed, contacts: listed })
          .refine(
            (body) => body.leads.length + body.contacts.length > 0,
            'names no lead and no contact',
          ),
        headers: writeHeaders,
        response,
      },
    },
    (request, reply) => {
      const principal = principalOf(request);
      const { leads, contacts } = request.body;
      if (leads.length > 0) assertAccess({ permission: 'leads' }, principal);
      if (contacts.length > 0) assertAccess({ permission: 'contacts' }, principal);
      return write(context, request, reply, async (tx) => {
        const tagging = {
          accountId: principal.accountId,
          tagId: request.params.id,
          leads,
          contacts,
        };
        const counts = await (verb === 'assign' ? assignTag(tx, tagging) : removeTag(tx, tagging));
        if (!counts) throw notFound();
        return { status: 200, body: JSON.stringify({ data: counts }) };
      });
    },
  );
}
