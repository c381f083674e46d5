import { memberships } from '../../../domain/entities/memberships.ts';
import { roles } from '../../../domain/entities/roles.ts';
import { createSchema, patchSchema, type Entity } from '../../../domain/entity.ts';
import type { Principal } from '../../../domain/permission.ts';
import type { Written } from '../../../platform/entity-sql.ts';
import type { Queries } from '../../../platform/postgres.ts';
import {
  createMembership,
  deleteMembership,
  updateMembership,
} from '../../commands/change-membership.ts';
import { createRole, deleteRole, updateRole } from '../../commands/change-role.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { answerDeleted, answerRow, pathOf } from './entity-routes.ts';
import { readIfMatch } from './request-headers.ts';
import {
  answeredRow,
  answers,
  idParams,
  oneOf,
  versionedWriteHeaders,
  writeHeaders,
} from './schemas.ts';
import { write } from './write.ts';

type Values = Readonly<Record<string, unknown>>;
type Create = (tx: Queries, options: { principal: Principal; values: Values }) => Promise<Written>;
type Update = (
  tx: Queries,
  options: { principal: Principal; id: number; values: Values; ifMatch: string | undefined },
) => Promise<Written | undefined>;

type Delete = (
  tx: Queries,
  options: { principal: Principal; id: number; ifMatch: string | undefined },
) => Promise<string>;

const config = { access: { permission: 'users' } } as const;

/** Who may do what: written by commands that keep an account governable. Reading is plain. */
export function registerMemberRoutes(app: App, context: Context): void {
  registerCreate(app, context, roles, createRole);
  registerUpdate(app, context, roles, updateRole);
  registerCreate(app, context, memberships, createMembership);
  registerUpdate(app, context, memberships, updateMembership);
  registerDelete(app, context, {
    entity: roles,
    summary: 'Delete a role that nobody has; answers it as it was',
    remove: deleteRole,
  });
  registerDelete(app, context, {
    entity: memberships,
    summary: 'Take a user out of the account',
    remove: deleteMembership,
  });
}

function registerCreate(app: App, context: Context, entity: Entity, create: Create): void {
  app.post(
    pathOf(entity),
    {
      config,
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
        const values = request.body as Values;
        return answerRow(
          entity,
          await create(tx, { principal: principalOf(request), values }),
          201,
        );
      }),
  );
}

function registerUpdate(app: App, context: Context, entity: Entity, update: Update): void {
  app.patch(
    `${pathOf(entity)}/:id`,
    {
      config,
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
        const options = {
          principal: principalOf(request),
          id: request.params.id,
          values: request.body,
        };
        return answerRow(entity, await update(tx, { ...options, ifMatch: readIfMatch(request) }));
      }),
  );
}

type Deletion = { entity: Entity; summary: string; remove: Delete };

function registerDelete(app: App, context: Context, { entity, summary, remove }: Deletion): void {
  app.delete(
    `${pathOf(entity)}/:id`,
    {
      config,
      schema: {
        tags: [entity.table],
        summary,
        params: idParams,
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(answeredRow(entity))),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const options = {
          principal: principalOf(request),
          id: request.params.id,
          ifMatch: readIfMatch(request),
        };
        return answerDeleted(await remove(tx, options));
      }),
  );
}
