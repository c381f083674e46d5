import { z } from 'zod';
import { kommo_connections } from '../../../domain/entities/kommo_connections.ts';
import { rowSchema } from '../../../domain/entity.ts';
import { listQuerySchema, type ListQuery } from '../../../platform/entity-sql/list-query.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { createSecretBox } from '../../../platform/secret-box.ts';
import { connectKommo, disconnectKommo } from '../../commands/connect-kommo.ts';
import { deleteRow } from '../../commands/delete-row.ts';
import { cancelFullSync, requestFullSync } from '../../commands/sync-kommo.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { answerDeleted } from './entity-routes.ts';
import { sendVersioned } from './etag.ts';
import { registerKommoHealthRoute } from './kommo-health-route.ts';
import { registerKommoPipelineRoutes } from './kommo-pipeline-routes.ts';
import { registerKommoWebhookRoutes } from './kommo-webhook-routes.ts';
import { loadList, loadRow } from './loaders.ts';
import { notFound, read } from './read.ts';
import { readIfMatch } from './request-headers.ts';
import {
  answers,
  idParams,
  listOf,
  oneOf,
  readHeaders,
  versionedWriteHeaders,
  writeHeaders,
} from './schemas.ts';
import { write } from './write.ts';

const config = { access: { permission: 'integrations' } } as const;
const tags = ['kommo'];
const path = '/api/kommo/connections';
const row = rowSchema(kommo_connections);
const token = z
  .string()
  .min(1)
  .max(8_192)
  .regex(/^[\x21-\x7e]+$/, 'is not a token');

/** Connections to Kommo: rows that its worker reads. Nothing here talks to Kommo, and no answer shows a token. */
export async function registerKommoRoutes(app: App, context: Context): Promise<void> {
  registerReads(app, context);
  registerConnect(app, context);
  registerAction(app, context, {
    verb: 'disconnect',
    summary: 'Disconnect: its tokens are deleted, what was read stays',
    status: 200,
    act: disconnectKommo,
  });
  registerAction(app, context, {
    verb: 'full-sync',
    summary: 'Read everything once more; the row says how far it is',
    status: 202,
    act: requestFullSync,
  });
  registerAction(app, context, {
    verb: 'cancel',
    summary: 'Give up the full sync that waits or runs',
    status: 200,
    act: cancelFullSync,
  });
  registerDelete(app, context);
  registerKommoPipelineRoutes(app, context);
  registerKommoHealthRoute(app, context);
  await registerKommoWebhookRoutes(app, context);
}

function registerReads(app: App, context: Context): void {
  app.get(
    path,
    {
      config,
      schema: {
        tags,
        summary: 'Connections to Kommo: `status`, and in `status_reason` why, in a sentence',
        querystring: listQuerySchema(kommo_connections),
        headers: readHeaders,
        response: answers(200, listOf(row)),
      },
    },
    async (request, reply) => {
      const { accountId } = principalOf(request);
      const query = request.query as ListQuery;
      const body = await read(context, request, reply, {
        load: (signal) =>
          loadList(context.database, kommo_connections, { accountId, query, signal }),
      });
      return reply.send(body);
    },
  );
  app.get(
    `${path}/:id`,
    {
      config,
      schema: {
        tags,
        summary: 'One connection to Kommo',
        params: idParams,
        headers: readHeaders,
        response: answers(200, oneOf(row)),
      },
    },
    async (request, reply) => {
      const { accountId } = principalOf(request);
      const { id } = request.params;
      const body = await read(context, request, reply, {
        load: (signal) => loadRow(context.database, kommo_connections, { accountId, id, signal }),
      });
      return sendVersioned(request, reply, kommo_connections, body);
    },
  );
}

const connecting = z.strictObject({
  subdomain: z
    .string()
    .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i, 'is the part before .kommo.com')
    .describe('`example` of example.kommo.com.'),
  access_token: token,
  refresh_token: token.nullish().describe('Absent for a long-lived token.'),
  expires_at: (kommo_connections.columns.token_expires_at.value as z.ZodType<string>).nullish(),
});

function registerConnect(app: App, context: Context): void {
  const box = createSecretBox(context.config.encryptionKey);
  app.post(
    path,
    {
      config,
      schema: {
        tags,
        summary: 'Connect a Kommo account, or one that was connected before, with new tokens',
        description: '201 for a new connection, 200 for one that goes on. Tokens are kept sealed.',
        body: connecting,
        headers: writeHeaders,
        response: { 200: oneOf(row), ...answers(201, oneOf(row)) },
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { subdomain, access_token, refresh_token, expires_at } = request.body;
        const { json, isNew } = await connectKommo(tx, {
          box,
          accountId: principalOf(request).accountId,
          subdomain: subdomain.toLowerCase(),
          tokens: { accessToken: access_token, refreshToken: refresh_token ?? undefined },
          expiresAt: expires_at,
        });
        return { status: isNew ? 201 : 200, body: `{"data":${json}}` };
      }),
  );
}

type Action = {
  verb: string;
  summary: string;
  status: 200 | 202;
  act: (tx: Queries, place: { accountId: number; id: number }) => Promise<string | undefined>;
};

function registerAction(app: App, context: Context, { verb, summary, status, act }: Action): void {
  app.post(
    `${path}/:id/${verb}`,
    {
      config,
      schema: {
        tags,
        summary,
        params: idParams,
        headers: writeHeaders,
        response: answers(status, oneOf(row)),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId } = principalOf(request);
        const { id } = request.params as { id: number };
        const json = await act(tx, { accountId, id });
        if (json === undefined) throw notFound();
        return { status, body: `{"data":${json}}` };
      }),
  );
}

function registerDelete(app: App, context: Context): void {
  app.delete(
    `${path}/:id`,
    {
      config,
      schema: {
        tags,
        summary: 'Delete a connection with its tokens; what was read from Kommo stays',
        params: idParams,
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(row)),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId } = principalOf(request);
        const place = { entity: kommo_connections, accountId, id: request.params.id };
        return answerDeleted(await deleteRow(tx, { ...place, ifMatch: readIfMatch(request) }));
      }),
  );
}
