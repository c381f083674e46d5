import { z } from 'zod';
import { ClarinError } from '../../../domain/errors.ts';
import {
  acceptKommoHints,
  findKommoWebhook,
  renewKommoWebhook,
} from '../../commands/kommo-webhook.ts';
import { readWebhookBody } from '../../kommo/webhook-body.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { callerAddress } from '../plugins/rate-limit.ts';
import { notFound } from './read.ts';
import { answers, idParams, oneOf, writeHeaders } from './schemas.ts';
import { write } from './write.ts';

const tags = ['kommo'];
const FORM = 'application/x-www-form-urlencoded';
const FORM_BYTES_MAX = 256 * 1024;
/** Of one address. Kommo gives a webhook up that is refused a hundred times: far more than it sends. */
const CALLS_PER_MINUTE = 1_200;

const secretParams = z.object({
  secret: z.string().max(100).describe('Part of the address that `POST …/webhook` answered.'),
});

/**
 * Kommo calls when something has changed over there. A call is only a hint to look there sooner: it is not signed, may
 * be lost and may come twice. Answered without asking Kommo anything, far within its 2 s.
 */
export async function registerKommoWebhookRoutes(app: App, context: Context): Promise<void> {
  registerRenewal(app, context);
  await app.register((scoped, _options, done) => {
    scoped.addContentTypeParser<string>(
      FORM,
      { parseAs: 'string', bodyLimit: FORM_BYTES_MAX },
      (_request, body, parsed) => parsed(null, body),
    );
    registerCalls(scoped as App, context);
    done();
  });
}

function registerCalls(app: App, context: Context): void {
  app.post(
    '/api/kommo/webhook/:secret',
    {
      bodyLimit: FORM_BYTES_MAX,
      config: {
        access: 'public',
        rateLimit: {
          max: Math.min(CALLS_PER_MINUTE, context.config.rateLimitPerMinute),
          keyGenerator: (request: { ip: string }) => `webhook ${callerAddress(request.ip)}`,
        },
      },
      schema: {
        tags,
        summary: 'For Kommo: something has changed over there',
        description:
          'A hint to look there sooner. 204 whatever it names; 404 for an address that is none of ours.',
        consumes: [FORM],
        params: secretParams,
        body: z
          .string()
          .max(FORM_BYTES_MAX)
          .nullish()
          .describe('`leads[update][0][id]=1&account[id]=2`'),
        response: answers(204, z.undefined()),
      },
    },
    async (request, reply) => {
      const webhook = await findKommoWebhook(context.database, request.params.secret);
      if (!webhook) throw notFound();
      const { kommoAccountId, hints } = readWebhookBody(request.body ?? '');
      const isOther =
        kommoAccountId !== undefined &&
        webhook.kommoAccountId !== undefined &&
        kommoAccountId !== webhook.kommoAccountId;
      if (isOther)
        throw new ClarinError('invalid_request', 'this is the webhook of another Kommo account');
      if (hints.length > 0) {
        await context.database.transaction((tx) => acceptKommoHints(tx, webhook, hints), {
          signal: request.cancel,
        });
      }
      return reply.code(204).send();
    },
  );
}

function registerRenewal(app: App, context: Context): void {
  app.post(
    '/api/kommo/connections/:id/webhook',
    {
      config: { access: { permission: 'integrations' } },
      schema: {
        tags,
        summary: 'A new address for Kommo to call; the one before is no good any more',
        description:
          'Shown once. Enter it in Kommo under Settings, Integrations, Web hooks, with the changes of leads and contacts.',
        params: idParams,
        headers: writeHeaders,
        response: answers(200, oneOf(z.object({ path: z.string() }))),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId } = principalOf(request);
        const secret = await renewKommoWebhook(tx, { accountId, id: request.params.id });
        if (secret === undefined) throw notFound();
        return {
          status: 200,
          body: JSON.stringify({ data: { path: `/api/kommo/webhook/${secret}` } }),
        };
      }),
  );
}
