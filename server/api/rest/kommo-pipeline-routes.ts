import { z } from 'zod';
import { kommo_connections } from '../../../domain/entities/kommo_connections.ts';
import { kommo_pipelines } from '../../../domain/entities/kommo_pipelines.ts';
import { rowSchema } from '../../../domain/entity.ts';
import { readEntity } from '../../../platform/entity-sql.ts';
import { listQuerySchema, type ListQuery } from '../../../platform/entity-sql/list-query.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { chooseKommoPipelines } from '../../commands/choose-kommo-pipelines.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { loadList } from './loaders.ts';
import { notFound, read } from './read.ts';
import { answers, idParams, idSchema, listOf, readHeaders, writeHeaders } from './schemas.ts';
import { write } from './write.ts';

const config = { access: { permission: 'integrations' } } as const;
const tags = ['kommo'];
const path = '/api/kommo/connections/:id/pipelines';
const list = listOf(rowSchema(kommo_pipelines));
/** More than a Kommo account can have. */
const PIPELINES_MAX = 200;
const whole = listQuerySchema(kommo_pipelines).parse({ limit: String(PIPELINES_MAX) });

type Place = { accountId: number; id: number; signal?: AbortSignal };

/** The pipelines that a Kommo account is known to have, and which of them are followed. */
export function registerKommoPipelineRoutes(app: App, context: Context): void {
  app.get(
    path,
    {
      config,
      schema: {
        tags,
        summary: 'Pipelines of a Kommo account, by name, as its worker last saw them',
        params: idParams,
        headers: readHeaders,
        response: answers(200, list),
      },
    },
    async (request, reply) => {
      const { accountId } = principalOf(request);
      const { id } = request.params;
      const body = await read(context, request, reply, {
        load: (signal) => loadPipelines(context.database, { accountId, id, signal }),
      });
      return reply.send(body);
    },
  );
  app.put(
    path,
    {
      config,
      schema: {
        tags,
        summary: 'Follow these pipelines, by `id`, and no others; answers the list',
        params: idParams,
        body: z.strictObject({ connected_ids: z.array(idSchema).max(PIPELINES_MAX) }),
        headers: writeHeaders,
        response: answers(200, list),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId } = principalOf(request);
        const { id } = request.params;
        const choice = { accountId, connectionId: id, connectedIds: request.body.connected_ids };
        if (!(await chooseKommoPipelines(tx, choice))) throw notFound();
        return { status: 200, body: (await loadPipelines(tx, { accountId, id })) ?? '' };
      }),
  );
}

/** Undefined: no such connection. */
async function loadPipelines(db: Queries, place: Place): Promise<string | undefined> {
  if ((await readEntity(db, kommo_connections, place)) === undefined) return undefined;
  const { accountId, id, signal } = place;
  const only = { kind: 'equals', values: [id], orNull: false } as const;
  const query: ListQuery = { ...whole, filters: { connection_id: only } };
  return loadList(db, kommo_pipelines, { accountId, query, ...(signal ? { signal } : {}) });
}
