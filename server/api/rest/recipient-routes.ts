import { z } from 'zod';
import { isStorable, NOT_STORABLE } from '../../../domain/column.ts';
import { CAMPAIGN_STATUSES } from '../../../domain/entities/campaigns.ts';
import { addRecipients, RECIPIENTS_MAX, type Wanted } from '../../commands/add-recipients.ts';
import { removeRecipients } from '../../commands/remove-recipients.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { assertAccess } from '../plugins/auth.ts';
import { previewCampaign } from './campaign-preview.ts';
import { readCampaignProgress } from './campaign-progress.ts';
import { viewerOf } from './entity-routes.ts';
import { read } from './read.ts';
import {
  answers,
  countsSchema,
  idParams,
  idSchema,
  oneOf,
  readHeaders,
  writeHeaders,
} from './schemas.ts';
import { write } from './write.ts';

const config = { access: { permission: 'campaigns' } } as const;
const tags = ['campaigns'];

const VARIABLES_MAX = 50;
const name = z
  .string()
  .regex(/^[\p{L}_][\p{L}\p{N}_]{0,39}$/u, 'is no name of letters, digits and _')
  .transform((text) => text.toLowerCase());
const variable = z.union([z.number(), z.string().max(1_000).refine(isStorable, NOT_STORABLE)]);

const wanted = z.union([
  z.strictObject({ contact_ids: z.array(idSchema).min(1).max(RECIPIENTS_MAX) }),
  z.strictObject({
    recipients: z
      .array(
        z.strictObject({
          contact_id: idSchema,
          variables: z
            .record(name, variable)
            .refine(
              (values) => Object.keys(values).length <= VARIABLES_MAX,
              `has more than ${VARIABLES_MAX} variables`,
            )
            .default({}),
        }),
      )
      .min(1)
      .max(RECIPIENTS_MAX),
  }),
  z.strictObject({
    filter: z.strictObject({
      tag_ids: z.array(idSchema).min(1).max(100),
      tag_match: z.enum(['any', 'all']).default('any'),
    }),
  }),
]);

function wantedOf(body: z.output<typeof wanted>): Wanted {
  if ('filter' in body) return { tagIds: body.filter.tag_ids, match: body.filter.tag_match };
  if ('contact_ids' in body)
    return { recipients: body.contact_ids.map((contactId) => ({ contactId, variables: {} })) };
  return {
    recipients: body.recipients.map(({ contact_id: contactId, variables }) => ({
      contactId,
      variables,
    })),
  };
}

const added = z.object({
  added: z.int(),
  already: z.int().describe('In it before; they stay as they were.'),
  left: z.int().describe('Found by the filter, beyond what one request adds: repeat it.'),
  skipped: z.object({
    group: z.int(),
    do_not_contact: z.int(),
    no_address: z.int().describe('Without a phone and without an address of WhatsApp.'),
    not_found: z.int(),
  }),
});

/** Whom a campaign writes to, what they would read, and how far it is. Their list is plain. */
export function registerRecipientRoutes(app: App, context: Context): void {
  registerAdd(app, context);
  registerRemove(app, context);
  registerPreview(app, context);
  registerProgress(app, context);
}

function registerAdd(app: App, context: Context): void {
  app.post(
    '/api/campaigns/:id/recipients',
    {
      config,
      schema: {
        tags,
        summary: 'Add contacts, up to 10,000 at a time: named ones, or those with a tag',
        description:
          'Needs the permission contacts too. Repeating it adds nobody twice, and goes on where `left` is not 0.',
        params: idParams,
        body: wanted,
        headers: writeHeaders,
        response: answers(200, oneOf(added)),
      },
    },
    (request, reply) => {
      assertAccess({ permission: 'contacts' }, principalOf(request));
      return write(context, request, reply, async (tx) => {
        const { accountId, devices } = viewerOf(request);
        const one = { accountId, devices, id: request.params.id };
        const counts = await addRecipients(tx, { ...one, wanted: wantedOf(request.body) });
        return { status: 200, body: JSON.stringify({ data: counts }) };
      });
    },
  );
}

function registerRemove(app: App, context: Context): void {
  app.delete(
    '/api/campaigns/:id/recipients',
    {
      config,
      schema: {
        tags,
        summary: 'Take recipients out, by their own ids; only those who still wait',
        params: idParams,
        body: z.strictObject({ ids: z.array(idSchema).min(1).max(RECIPIENTS_MAX) }),
        headers: writeHeaders,
        response: answers(200, oneOf(countsSchema)),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices } = viewerOf(request);
        const one = { accountId, devices, id: request.params.id };
        const counts = await removeRecipients(tx, { ...one, recipientIds: request.body.ids });
        return { status: 200, body: JSON.stringify({ data: counts }) };
      }),
  );
}

const preview = z.object({
  text: z.string(),
  missing: z.array(z.string()).describe('Names the contact has no value for.'),
  is_too_long: z.boolean(),
});

function registerPreview(app: App, context: Context): void {
  app.post(
    '/api/campaigns/:id/preview',
    {
      config,
      schema: {
        tags,
        summary: 'What a contact would read; nothing is written',
        description: 'Needs the permission contacts too.',
        params: idParams,
        body: z.strictObject({ contact_id: idSchema }),
        response: answers(200, oneOf(preview)),
      },
    },
    async (request, reply) => {
      assertAccess({ permission: 'contacts' }, principalOf(request));
      const { accountId, devices } = viewerOf(request);
      const body = await read(context, request, reply, {
        load: async (signal) => {
          const one = { accountId, devices, id: request.params.id };
          const contactId = request.body.contact_id;
          const json = await previewCampaign(context.database, { ...one, contactId, signal });
          return json && `{"data":${json}}`;
        },
      });
      return reply.send(body);
    },
  );
}

const count = z.int();
const progress = z.object({
  id: idSchema,
  status: z.enum(CAMPAIGN_STATUSES),
  total: count,
  by_status: z
    .object({
      pending: count,
      claimed: count,
      sent: count,
      delivered: count,
      read: count,
      failed: count,
      skipped: count,
    })
    .describe('Each recipient is in one of them: together they are the total.'),
  settled: count.describe('Those with whom nothing more will be done.'),
  claimed_last_hour: count.describe('Messages written to the outbox in the last 60 minutes.'),
  waits_for: z
    .enum(['device', 'outbox'])
    .optional()
    .describe('What keeps it: the device is not connected, or has not sent what is there.'),
  next_at: z.string().optional(),
  estimated_end_at: z
    .string()
    .optional()
    .describe('By its pace; absent when nobody waits, or after more than a year.'),
});

function registerProgress(app: App, context: Context): void {
  app.get(
    '/api/campaigns/:id/progress',
    {
      config,
      schema: {
        tags,
        summary: 'How far a campaign is, at what pace, and when it will be over',
        params: idParams,
        headers: readHeaders,
        response: answers(200, oneOf(progress)),
      },
    },
    async (request, reply) => {
      const { accountId, devices } = viewerOf(request);
      const one = { accountId, devices, id: request.params.id, now: context.now() };
      const body = await read(context, request, reply, {
        load: async (signal) => {
          const json = await readCampaignProgress(context.database, { ...one, signal });
          return json && `{"data":${json}}`;
        },
      });
      return reply.send(body);
    },
  );
}
