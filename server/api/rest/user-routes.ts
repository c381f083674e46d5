import { z } from 'zod';
import { isStorable, NOT_STORABLE } from '../../../domain/column.ts';
import { users } from '../../../domain/entities/users.ts';
import { rowSchema } from '../../../domain/entity.ts';
import {
  hashPassword,
  PASSWORD_CHARACTERS_MAX,
  PASSWORD_CHARACTERS_MIN,
} from '../../../platform/password.ts';
import { createUser } from '../../commands/create-user.ts';
import { deleteUser } from '../../commands/delete-user.ts';
import { updateUser } from '../../commands/update-user.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { etagOfAnswer, sendVersioned } from './etag.ts';
import { answerDeleted } from './entity-routes.ts';
import { readUserJson } from './identity.ts';
import { notFound, read } from './read.ts';
import { readIfMatch } from './request-headers.ts';
import {
  answers,
  countSchema,
  idParams,
  idSchema,
  listOf,
  oneOf,
  readHeaders,
  versionedWriteHeaders,
  writeHeaders,
} from './schemas.ts';
import { listMembersJson, readMemberJson, type UserQuery } from './users.ts';
import { write } from './write.ts';

const config = { access: { permission: 'users' } } as const;
const tags = ['users'];
const member = rowSchema(users).extend({ membership_id: idSchema, role_id: idSchema });
const password = z.string().min(PASSWORD_CHARACTERS_MIN).max(PASSWORD_CHARACTERS_MAX);

const text = (name: keyof typeof users.columns) => users.columns[name].value as z.ZodType<string>;
const createBody = z.strictObject({
  username: text('username'),
  display_name: text('display_name'),
  email: text('email').nullish(),
  password,
  role_id: idSchema,
});
const patchBody = z
  .strictObject({
    display_name: text('display_name').optional(),
    email: text('email').nullish(),
    is_active: z.boolean().optional(),
    password: password.optional(),
    role_id: idSchema.optional(),
  })
  .refine((body) => Object.keys(body).length > 0, 'has nothing to change');

/** Members of the account. Users belong to no account, so these routes are written by hand. */
export function registerUserRoutes(app: App, context: Context): void {
  const { database } = context;
  app.get(
    '/api/users',
    {
      config,
      schema: {
        tags,
        summary: 'Members of the account, by name',
        querystring: z.strictObject({
          page: countSchema({ fallback: 1, max: 10_000 }),
          limit: countSchema({ fallback: 50, max: 200 }),
          search: z.string().min(1).max(200).refine(isStorable, NOT_STORABLE).optional(),
        }),
        headers: readHeaders,
        response: answers(200, listOf(member)),
      },
    },
    async (request, reply) => {
      const { accountId } = principalOf(request);
      const query: UserQuery = request.query;
      return reply.send(
        await read(context, request, reply, {
          load: (signal) => listMembersJson(database, { accountId, query, signal }),
        }),
      );
    },
  );
  app.get(
    '/api/users/:id',
    {
      config,
      schema: {
        tags,
        summary: 'One member',
        params: idParams,
        headers: readHeaders,
        response: answers(200, oneOf(member)),
      },
    },
    async (request, reply) => {
      const { accountId } = principalOf(request);
      const { id } = request.params;
      const body = await read(context, request, reply, {
        load: async (signal) => {
          const json = await readMemberJson(database, { accountId, id, signal });
          return json && `{"data":${json}}`;
        },
      });
      return sendVersioned(request, reply, users, body);
    },
  );
  registerWrites(app, context);
  registerDelete(app, context);
}

function registerWrites(app: App, context: Context): void {
  app.post(
    '/api/users',
    {
      config,
      schema: {
        tags,
        summary: 'A new user, member of this account',
        body: createBody,
        headers: writeHeaders,
        response: answers(201, oneOf(member)),
      },
    },
    async (request, reply) => {
      const { username, display_name, email, role_id } = request.body;
      const principal = principalOf(request);
      const passwordHash = await hashPassword(request.body.password);
      return write(context, request, reply, async (tx) => {
        const person = {
          username,
          displayName: display_name,
          email,
          passwordHash,
          roleId: role_id,
        };
        const id = await createUser(tx, { principal, ...person });
        const json = await readMemberJson(tx, { accountId: principal.accountId, id });
        const body = `{"data":${json}}`;
        return { status: 201, body, etag: etagOfAnswer(users, body) };
      });
    },
  );
  app.patch(
    '/api/users/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Change a member: only what is sent',
        params: idParams,
        body: patchBody,
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(member)),
      },
    },
    async (request, reply) => {
      const { password: given, role_id: roleId, ...person } = request.body;
      const principal = principalOf(request);
      const { id } = request.params;
      const ifMatch = readIfMatch(request);
      const passwordHash = given === undefined ? undefined : await hashPassword(given);
      return write(context, request, reply, async (tx) => {
        const isMember = await updateUser(tx, {
          principal,
          id,
          change: { ...person, passwordHash, roleId },
          ifMatch,
        });
        if (!isMember) throw notFound();
        const body = `{"data":${await readMemberJson(tx, { accountId: principal.accountId, id })}}`;
        return { status: 200, body, etag: etagOfAnswer(users, body) };
      });
    },
  );
}

function registerDelete(app: App, context: Context): void {
  app.delete(
    '/api/users/:id',
    {
      config: { access: 'super_admin' },
      schema: {
        tags,
        summary: 'Delete a user for good, out of all their accounts; not yourself',
        params: idParams,
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(rowSchema(users))),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { id } = request.params;
        const json = await readUserJson(tx, id);
        const user = { principal: principalOf(request), id, ifMatch: readIfMatch(request) };
        if (!(await deleteUser(tx, user)) || json === undefined) throw notFound();
        return answerDeleted(json);
      }),
  );
}
