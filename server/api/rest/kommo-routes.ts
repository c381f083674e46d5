import { kommo_connections } from '../../../domain/entities/kommo_connections.ts';
import { rowSchema } from '../../../domain/entity.ts';
import { listQuerySchema, type ListQuery } from '../../../platform/entity-sql/list-query.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { disconnectKommo } from '../../commands/connect-kommo.ts';
import { deleteRow } from '../../commands/delete-row.ts';
import { cancelFullSync, requestFullSync } from '../../commands/sync-kommo.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { answerDeleted } from './entity-routes.ts';
import { sendVersioned } from './etag.ts';
import { openKommo } from '../../kommo/means.ts';
import { registerKommoConnectRoutes } from './kommo-connect-routes.ts';
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
/** Connections to Kommo: rows that its worker reads. No answer shows a token. */
export async function registerKommoRoutes(app: App, context: Context): Promise<void> {
  const kommo = openKommo(context);
  app.addHook('onClose', () => kommo.close());
  registerReads(app, context);
  registerKommoConnectRoutes(app, context, kommo);
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
