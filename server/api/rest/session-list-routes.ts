import { sessions } from '../../../domain/entities/sessions.ts';
import { rowSchema } from '../../../domain/entity.ts';
import { may, type Principal } from '../../../domain/permission.ts';
import { listQuerySchema, type ListQuery } from '../../../platform/entity-sql/list-query.ts';
import { endSession } from '../../commands/end-session.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { loadList } from './loaders.ts';
import { notFound, read } from './read.ts';
import { answers, idParams, listOf, oneOf, readHeaders, writeHeaders } from './schemas.ts';
import { write } from './write.ts';

const config = { access: 'member' } as const;
const tags = ['sessions'];
const row = rowSchema(sessions);

/** Sessions as rows: everybody sees and ends their own, who manages users those of the account. */
export function registerSessionListRoutes(app: App, context: Context): void {
  app.get(
    '/api/sessions',
    {
      config,
      schema: {
        tags,
        summary:
          'Your sessions in this account; with the permission "users" those of all members. Those with an api_key_id are of programs',
        querystring: listQuerySchema(sessions),
        headers: readHeaders,
        response: answers(200, listOf(row)),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      const { accountId } = principal;
      const query = ownUnlessPermitted(principal, request.query);
      const body = await read(context, request, reply, {
        load: (signal) => loadList(context.database, sessions, { accountId, query, signal }),
      });
      return reply.send(body);
    },
  );
  app.delete(
    '/api/sessions/:id',
    {
      config: { access: 'member', onlyPeople: true },
      schema: {
        tags,
        summary: 'End a session: its tokens and sockets stop working; answers it as it is then',
        params: idParams,
        headers: writeHeaders,
        response: answers(200, oneOf(row)),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { id } = request.params;
        const json = await endSession(tx, { principal: principalOf(request), id });
        if (json === undefined) throw notFound();
        return { status: 200, body: `{"data":${json}}` };
      }),
  );
}

/** Never cached, so that the query need not be the one its canonical text says. */
function ownUnlessPermitted(principal: Principal, query: ListQuery): ListQuery {
  if (may(principal, 'users')) return query;
  const { user_id: asked } = query.filters;
  const isAsked = asked?.kind !== 'equals' || asked.values.includes(principal.userId);
  const values = isAsked ? [principal.userId] : [];
  return {
    ...query,
    filters: { ...query.filters, user_id: { kind: 'equals', values, orNull: false } },
  };
}
