import { z } from 'zod';
import { api_keys } from '../../../domain/entities/api_keys.ts';
import { createSchema, patchSchema, rowSchema } from '../../../domain/entity.ts';
import { ClarinError } from '../../../domain/errors.ts';
import { makeApiKey } from '../../../platform/api-key.ts';
import { revokeApiKey, updateApiKey } from '../../commands/change-api-key.ts';
import { createApiKey } from '../../commands/create-api-key.ts';
import { deleteRow } from '../../commands/delete-row.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { answerDeleted, answerRow } from './entity-routes.ts';
import { notFound } from './read.ts';
import { readIfMatch } from './request-headers.ts';
import { answers, idParams, oneOf, versionedWriteHeaders, writeHeaders } from './schemas.ts';
import { write } from './write.ts';

const config = { access: { permission: 'settings' }, onlyPeople: true } as const;
const tags = ['api_keys'];
const row = rowSchema(api_keys);
const newKey = row.extend({
  key: z.string().optional().describe('The key itself, this once: only its digest is kept.'),
});

type Body = { name: string; permissions: string[]; expires_at?: string | null | undefined };

/** Keys of programs. Reading them is plain (entity-routes.ts). */
export function registerApiKeyRoutes(app: App, context: Context): void {
  registerCreate(app, context);
  registerUpdate(app, context);
  registerRevoke(app, context);
  registerDelete(app, context);
}

function registerCreate(app: App, context: Context): void {
  app.post(
    '/api/api_keys',
    {
      config,
      schema: {
        tags,
        summary: 'A key for a program, which acts for you: `Authorization: Bearer clarin_...`',
        description: 'A repetition by Idempotency-Key answers the row without the key.',
        body: createSchema(api_keys),
        headers: writeHeaders,
        response: answers(201, oneOf(newKey)),
      },
    },
    (request, reply) => {
      const { name, permissions, expires_at: expiresAt } = request.body as Body;
      if (expiresAt && Date.parse(expiresAt) <= context.now())
        throw new ClarinError('unprocessable', 'expires_at is over already', {
          details: { column: 'expires_at' },
        });
      reply.header('cache-control', 'no-store');
      return write(context, request, reply, async (tx) => {
        const key = makeApiKey();
        const principal = principalOf(request);
        const written = await createApiKey(tx, { principal, key, name, permissions, expiresAt });
        const answer = answerRow(api_keys, written, 201);
        const shown = `${answer.body.slice(0, -2)},"key":${JSON.stringify(key.key)}}}`;
        return { ...answer, body: shown, kept: answer.body };
      });
    },
  );
}

function registerUpdate(app: App, context: Context): void {
  app.patch(
    '/api/api_keys/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Rename a key, narrow its permissions, move its end',
        params: idParams,
        body: patchSchema(api_keys),
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(row)),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const change = { id: request.params.id, values: request.body };
        const options = { principal: principalOf(request), ifMatch: readIfMatch(request) };
        return answerRow(api_keys, await updateApiKey(tx, { ...change, ...options }));
      }),
  );
}

function registerRevoke(app: App, context: Context): void {
  app.post(
    '/api/api_keys/:id/revoke',
    {
      config,
      schema: {
        tags,
        summary: 'Revoke a key for good: its requests are refused and its sockets closed at once',
        params: idParams,
        headers: writeHeaders,
        response: answers(200, oneOf(row)),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId } = principalOf(request);
        const json = await revokeApiKey(tx, { accountId, id: request.params.id });
        if (json === undefined) throw notFound();
        return { status: 200, body: `{"data":${json}}` };
      }),
  );
}

function registerDelete(app: App, context: Context): void {
  app.delete(
    '/api/api_keys/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Delete a key, and with it its session; answers the row as it was',
        params: idParams,
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(row)),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId } = principalOf(request);
        const { id } = request.params;
        const options = { entity: api_keys, accountId, id, ifMatch: readIfMatch(request) };
        return answerDeleted(await deleteRow(tx, options));
      }),
  );
}
