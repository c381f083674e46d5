import { listFamily, rowFamily } from '../../../domain/cache-key.ts';
import { createSchema, patchSchema, type Entity } from '../../../domain/entity.ts';
import type { Written } from '../../../platform/entity-sql.ts';
import {
  listKey,
  listQuerySchema,
  type ListQuery,
} from '../../../platform/entity-sql/list-query.ts';
import { createRow } from '../../commands/create-row.ts';
import { deleteRow } from '../../commands/delete-row.ts';
import { updateRow } from '../../commands/update-row.ts';
import {
  principalOf,
  seesOf,
  type Access,
  type App,
  type Context,
  type Request,
} from '../context.ts';
import type { Answer } from '../plugins/idempotency.ts';
import { etagOfAnswer, sendVersioned } from './etag.ts';
import { loadList, loadRow } from './loaders.ts';
import { notFound, read } from './read.ts';
import { readIfMatch } from './request-headers.ts';
import {
  answeredRow,
  answers,
  idParams,
  listOf,
  oneOf,
  readHeaders,
  versionedWriteHeaders,
  writeHeaders,
} from './schemas.ts';
import { write } from './write.ts';

export type Verb = 'create' | 'update' | 'delete';

/** `/api/leads`: the table's name, as in the feed. */
export function pathOf(entity: Entity): string {
  return `/api/${entity.table}`;
}

function accessOf(entity: Entity): Access {
  return entity.permission === undefined ? 'member' : { permission: entity.permission };
}

/** The plain routes of an entity, from its declaration. `without`: verbs whose own routes are registered elsewhere. */
export function registerEntityRoutes(
  app: App,
  context: Context,
  entity: Entity,
  without: readonly Verb[] = [],
): void {
  registerReads(app, context, entity);
  if (entity.rest !== 'crud') return;
  if (!without.includes('create')) registerCreate(app, context, entity);
  if (!without.includes('update')) registerUpdate(app, context, entity);
  if (!without.includes('delete')) registerDelete(app, context, entity);
}

function registerReads(app: App, context: Context, entity: Entity): void {
  const config = { access: accessOf(entity) };
  const tags = [entity.table];
  if (entity.list) {
    app.get(
      pathOf(entity),
      {
        config,
        schema: {
          tags,
          summary: `List of ${entity.table}`,
          querystring: listQuerySchema(entity),
          headers: readHeaders,
          response: answers(200, listOf(answeredRow(entity))),
        },
      },
      async (request, reply) => {
        const query = request.query as ListQuery;
        const viewer = viewerOf(request);
        const body = await read(context, request, reply, {
          place: placeOf(request, entity, 'list', listKey(query)),
          load: (signal) => loadList(context.database, entity, { ...viewer, query, signal }),
        });
        return reply.send(body);
      },
    );
  }
  app.get(
    `${pathOf(entity)}/:id`,
    {
      config,
      schema: {
        tags,
        summary: `One ${entity.singular}`,
        params: idParams,
        headers: readHeaders,
        response: answers(200, oneOf(answeredRow(entity))),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const viewer = viewerOf(request);
      const body = await read(context, request, reply, {
        place: placeOf(request, entity, 'row', String(id)),
        load: (signal) => loadRow(context.database, entity, { ...viewer, id, signal }),
      });
      return sendVersioned(request, reply, entity, body);
    },
  );
}

function registerCreate(app: App, context: Context, entity: Entity): void {
  app.post(
    pathOf(entity),
    {
      config: { access: accessOf(entity) },
      schema: {
        tags: [entity.table],
        summary: `Create a ${entity.singular}`,
        body: createSchema(entity),
        headers: writeHeaders,
        response: answers(201, oneOf(answeredRow(entity))),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const values = request.body as Record<string, unknown>;
        const written = await createRow(tx, { entity, values, ...viewerOf(request) });
        return answerRow(entity, written, 201);
      }),
  );
}

function registerUpdate(app: App, context: Context, entity: Entity): void {
  app.patch(
    `${pathOf(entity)}/:id`,
    {
      config: { access: accessOf(entity) },
      schema: {
        tags: [entity.table],
        summary: `Change a ${entity.singular}: only what is sent`,
        params: idParams,
        body: patchSchema(entity),
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(answeredRow(entity))),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { id } = request.params;
        const values = request.body as Record<string, unknown>;
        const ifMatch = readIfMatch(request);
        return answerRow(
          entity,
          await updateRow(tx, { entity, id, values, ifMatch, ...viewerOf(request) }),
        );
      }),
  );
}

function registerDelete(app: App, context: Context, entity: Entity): void {
  app.delete(
    `${pathOf(entity)}/:id`,
    {
      config: { access: accessOf(entity) },
      schema: {
        tags: [entity.table],
        summary: `Delete a ${entity.singular}; answers the row as it was`,
        params: idParams,
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(answeredRow(entity))),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { id } = request.params;
        const ifMatch = readIfMatch(request);
        return answerDeleted(await deleteRow(tx, { entity, id, ifMatch, ...viewerOf(request) }));
      }),
  );
}

/** Whose rows, through which devices, and which of their restricted columns, the caller may see. */
export function viewerOf(request: Request) {
  const principal = principalOf(request);
  return {
    accountId: principal.accountId,
    devices: principal.deviceIds ?? undefined,
    sees: seesOf(principal),
  };
}

/** What a write answers: the row as GET would show it, and its ETag. @throws ClarinError not_found without a row. */
export function answerRow(entity: Entity, written: Written | undefined, status = 200): Answer {
  if (!written) throw notFound();
  const body = `{"data":${written.json}}`;
  return { status, body, etag: etagOfAnswer(entity, body) };
}

/** A deleted row has no version any more: no ETag. */
export function answerDeleted(json: string): Answer {
  return { status: 200, body: `{"data":${json}}` };
}

/**
 * Where the cache keeps an answer. A change drops the entry of an id by its very name, so there is room for one
 * variant only: whoever may not see every row or every column is answered from Postgres.
 */
export function placeOf(request: Request, entity: Entity, kind: 'row' | 'list', field: string) {
  if (!entity.cache[kind]) return undefined;
  const { sees, devices } = viewerOf(request);
  if (entity.device !== undefined && devices !== undefined) return undefined;
  const isRestricted = Object.values(entity.columns).some(
    ({ permission }) => permission && !sees(permission),
  );
  if (isRestricted) return undefined;
  return { family: kind === 'row' ? rowFamily(entity.table) : listFamily(entity.table), field };
}
