import { z } from 'zod';
import { formatTimestamp } from '../../../domain/row-json.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { read } from './read.ts';
import { answers, idParams, oneOf, readHeaders } from './schemas.ts';

const health = z.object({
  synced_at: z.iso
    .datetime()
    .optional()
    .describe(
      'The end of the last complete look at what has changed over there; absent before the first.',
    ),
  lag_seconds: z.number().optional().describe('Since then.'),
  cadence_seconds: z.number().optional().describe('From one look to the next, as things are now.'),
  hints_waiting: z.int().describe('Ids that Kommo has named and that are not fetched yet.'),
  webhook_since: z.iso.datetime().optional().describe('Absent: Kommo has no address to call.'),
});

/** How far behind Kommo a connection is. Not in its row: this changes every few seconds, and no browser waits for it. */
export function registerKommoHealthRoute(app: App, context: Context): void {
  app.get(
    '/api/kommo/connections/:id/health',
    {
      config: { access: { permission: 'integrations' } },
      schema: {
        tags: ['kommo'],
        summary: 'How far behind Kommo a connection is',
        params: idParams,
        headers: readHeaders,
        response: answers(200, oneOf(health)),
      },
    },
    async (request, reply) => {
      const { accountId } = principalOf(request);
      const { id } = request.params;
      const body = await read(context, request, reply, {
        load: (signal) => loadHealth(context.database, { accountId, id, signal }),
      });
      return reply.send(body);
    },
  );
}

async function loadHealth(
  db: Queries,
  { accountId, id, signal }: { accountId: number; id: number; signal: AbortSignal },
): Promise<string | undefined> {
  const [row] = await db.query(
    sql`
    select pulse.polled_at, extract(epoch from clock_timestamp() - pulse.polled_at) as lag, pulse.cadence_seconds,
      (select count(*) from private.kommo_hints where connection_id = connection.id) as hints,
      webhook.created_at as webhook_since
    from public.kommo_connections as connection
    left join private.kommo_pulses as pulse
      on pulse.account_id = connection.account_id and pulse.connection_id = connection.id
    left join private.kommo_webhooks as webhook
      on webhook.account_id = connection.account_id and webhook.connection_id = connection.id
    where connection.account_id = ${accountId} and connection.id = ${id}`,
    { signal },
  );
  if (!row) return undefined;
  const instant = (text: string | null | undefined) =>
    typeof text === 'string' ? formatTimestamp(text) : undefined;
  const number = (text: string | null | undefined) =>
    typeof text === 'string' ? Number(text) : undefined;
  return JSON.stringify({
    data: {
      synced_at: instant(row['polled_at']),
      lag_seconds: number(row['lag']),
      cadence_seconds: number(row['cadence_seconds']),
      hints_waiting: Number(row['hints']),
      webhook_since: instant(row['webhook_since']),
    },
  });
}
