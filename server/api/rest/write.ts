import { formatLsn } from '../../../domain/lsn.ts';
import type { Origin, Queries } from '../../../platform/postgres.ts';
import { principalOf, type Context, type Reply, type Request } from '../context.ts';
import { admitAgain } from '../plugins/auth.ts';
import { claimKey, hashRequest, keepAnswer, type Answer } from '../plugins/idempotency.ts';
import { JSON_TYPE } from './read.ts';
import { readIdempotencyKey, readOperationId } from './request-headers.ts';

/**
 * The one way to write: one transaction that says where it comes from, holds the command, the reading back of what
 * it wrote and the remembered answer of its Idempotency-Key. Sets the headers of every write.
 */
export async function write(
  context: Context,
  request: Request,
  reply: Reply,
  work: (tx: Queries) => Promise<Answer>,
): Promise<Reply> {
  const principal = principalOf(request);
  const key = readIdempotencyKey(request);
  const claim =
    key === undefined
      ? undefined
      : {
          accountId: principal.accountId,
          userId: principal.userId,
          key,
          requestHash: hashRequest(context.config.secret, request),
        };
  const { value, commitLsn } = await context.database.transaction(
    async (tx) => {
      if (request.routeOptions.config.isTransfer) await admitAgain(tx, request);
      const earlier = claim && (await claimKey(tx, claim));
      if (earlier) return { ...earlier, isReplayed: true };
      const answer = await work(tx);
      if (claim) await keepAnswer(tx, claim, answer);
      return { ...answer, isReplayed: false };
    },
    { origin: originOf(request), signal: request.cancel },
  );
  reply.header('clarin-commit', formatLsn(commitLsn));
  if (value.isReplayed) reply.header('idempotency-replayed', 'true');
  if (value.etag !== undefined) reply.header('etag', value.etag);
  if (value.status === 201) setLocation(request, reply, value.body);
  return reply.code(value.status).type(JSON_TYPE).send(value.body);
}

/** Goes into the write-ahead log with the transaction and comes back with the commit in the feed. */
export function originOf(request: Request): Origin {
  const operationId = readOperationId(request);
  return {
    request_id: request.id,
    ...(operationId === undefined ? {} : { operation_id: operationId }),
    ...(request.principal ? { actor_id: request.principal.userId } : {}),
    source: 'api',
  };
}

/** Every created row is read at the path it was posted to, followed by its id. */
function setLocation(request: Request, reply: Reply, body: string): void {
  const id = /^\{"data":\{"id":(\d+)/.exec(body)?.[1];
  if (id !== undefined) reply.header('location', `${request.url.split('?', 1)[0]}/${id}`);
}
