import { z } from 'zod';
import { accounts } from '../../../domain/entities/accounts.ts';
import { createSchema, patchSchema, publishedColumns, rowSchema } from '../../../domain/entity.ts';
import { compileRowWriter } from '../../../domain/row-json.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { column, join, sql } from '../../../platform/sql.ts';
import { createAccount } from '../../commands/create-account.ts';
import { deleteAccount } from '../../commands/delete-account.ts';
import { updateRow } from '../../commands/update-row.ts';
import { principalOf, seesOf, type App, type Context } from '../context.ts';
import { answerDeleted, answerRow } from './entity-routes.ts';
import { etagOfAnswer, sendVersioned } from './etag.ts';
import { loadRow } from './loaders.ts';
import { read } from './read.ts';
import { readIfMatch } from './request-headers.ts';
import {
  answers,
  countSchema,
  idParams,
  listOf,
  oneOf,
  readHeaders,
  versionedWriteHeaders,
  writeHeaders,
} from './schemas.ts';
import { write } from './write.ts';

const tags = ['accounts'];
const row = rowSchema(accounts);

/** The caller's own account, and for super administrators all of them. */
export function registerAccountRoutes(app: App, context: Context): void {
  registerOwnAccount(app, context);
  registerAccountList(app, context);
  registerOneAccount(app, context);
  registerAccountWrites(app, context);
  registerAccountDelete(app, context);
}

function registerOwnAccount(app: App, context: Context): void {
  app.get(
    '/api/account',
    {
      config: { access: 'member' },
      schema: {
        tags,
        summary: 'Your account',
        headers: readHeaders,
        response: answers(200, oneOf(row)),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { accountId } = principal;
      const body = await read(context, request, reply, {
        load: (signal) =>
          loadRow(context.database, accounts, {
            accountId,
            id: accountId,
            sees: seesOf(principal),
            signal,
          }),
      });
      return sendVersioned(request, reply, accounts, body);
    },
  );
  app.patch(
    '/api/account',
    {
      config: { access: { permission: 'settings' } },
      schema: {
        tags,
        summary: 'Change your account: only what is sent',
        body: patchSchema(accounts),
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(row)),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId } = principalOf(request);
        const change = {
          accountId,
          id: accountId,
          values: request.body,
          ifMatch: readIfMatch(request),
        };
        return answerRow(accounts, await updateRow(tx, { entity: accounts, ...change }));
      }),
  );
}

function registerAccountList(app: App, context: Context): void {
  app.get(
    '/api/accounts',
    {
      config: { access: 'super_admin' },
      schema: {
        tags,
        summary: 'All accounts',
        querystring: z.strictObject({
          page: countSchema({ fallback: 1, max: 10_000 }),
          limit: countSchema({ fallback: 50, max: 200 }),
        }),
        headers: readHeaders,
        response: answers(200, listOf(row)),
      },
    },
    async (request, reply) => {
      const { page, limit } = request.query;
      return reply.send(
        await read(context, request, reply, {
          load: (signal) => listAccounts(context.database, page, limit, signal),
        }),
      );
    },
  );
}

function registerOneAccount(app: App, context: Context): void {
  app.get(
    '/api/accounts/:id',
    {
      config: { access: 'super_admin' },
      schema: {
        tags,
        summary: 'One account',
        params: idParams,
        headers: readHeaders,
        response: answers(200, oneOf(row)),
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const body = await read(context, request, reply, {
        load: (signal) => loadRow(context.database, accounts, { accountId: id, id, signal }),
      });
      return sendVersioned(request, reply, accounts, body);
    },
  );
}

function registerAccountWrites(app: App, context: Context): void {
  app.post(
    '/api/accounts',
    {
      config: { access: 'super_admin' },
      schema: {
        tags,
        summary: 'A new account, with its roles, a pipeline and a default stage',
        body: createSchema(accounts).omit({ default_stage_id: true }),
        headers: writeHeaders,
        response: answers(201, oneOf(row)),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const body = `{"data":${await createAccount(tx, request.body)}}`;
        return { status: 201, body, etag: etagOfAnswer(accounts, body) };
      }),
  );
  const { plan, max_devices, is_active } = accounts.columns;
  app.patch(
    '/api/accounts/:id',
    {
      config: { access: 'super_admin' },
      schema: {
        tags,
        summary: 'Change what an account has: plan, devices, being active',
        params: idParams,
        body: z
          .strictObject({
            plan: plan.value.optional(),
            max_devices: max_devices.value.optional(),
            is_active: is_active.value.optional(),
          })
          .refine((body) => Object.keys(body).length > 0, 'has nothing to change'),
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(row)),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { id } = request.params;
        const change = { accountId: id, id, values: request.body, ifMatch: readIfMatch(request) };
        return answerRow(accounts, await updateRow(tx, { entity: accounts, ...change }));
      }),
  );
}

function registerAccountDelete(app: App, context: Context): void {
  app.delete(
    '/api/accounts/:id',
    {
      config: { access: 'super_admin' },
      schema: {
        tags,
        summary: 'Delete an account with everything in it, for good; not the one you are in',
        params: idParams,
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(row)),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const principal = principalOf(request);
        const { id } = request.params;
        const ifMatch = readIfMatch(request);
        return answerDeleted(await deleteAccount(tx, { principal, id, ifMatch }));
      }),
  );
}

const COLUMNS = publishedColumns(accounts);
const writeAccount = compileRowWriter(accounts, COLUMNS);

async function listAccounts(
  db: Queries,
  page: number,
  limit: number,
  signal: AbortSignal,
): Promise<string> {
  const columns = join(COLUMNS.map((name) => column('account', name)));
  const rows = await db.query(
    sql`
      select ${columns}, counted.total
      from (select count(*) as total from public.accounts) as counted
      left join (
        select ${columns}
        from public.accounts as account
        order by account.id
        limit ${limit} offset ${(page - 1) * limit}
      ) as account on true
      order by account.id`,
    { signal },
  );
  const shown = rows
    .filter((one) => one['id'] !== null)
    .map((one) => writeAccount(COLUMNS.map((name) => one[name])));
  return `{"data":[${shown.join(',')}],"total":${rows[0]?.['total'] ?? '0'},"page":${page},"limit":${limit}}`;
}
