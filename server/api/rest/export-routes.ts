import { Readable } from 'node:stream';
import { z } from 'zod';
import { contacts } from '../../../domain/entities/contacts.ts';
import { leads } from '../../../domain/entities/leads.ts';
import type { Entity } from '../../../domain/entity.ts';
import type { Permission } from '../../../domain/permission.ts';
import { writeCsv } from '../../../platform/csv/write-csv.ts';
import { exportQuerySchema, openExport } from '../../../platform/entity-sql/export.ts';
import type { Queries } from '../../../platform/postgres.ts';
import type { App, Context, Request } from '../context.ts';
import { admitAgain } from '../plugins/auth.ts';
import { pathOf, viewerOf } from './entity-routes.ts';
import { answers } from './schemas.ts';

/** What can be taken along as a file, and the permission for it. */
const EXPORTS: readonly { entity: Entity; permission: Permission }[] = [
  { entity: contacts, permission: 'contacts' },
  { entity: leads, permission: 'leads' },
];

/** Whole lists as CSV: the list's filters, search and sort, without its pages; written while they are read. */
export function registerExportRoutes(app: App, context: Context): void {
  for (const { entity, permission } of EXPORTS) registerExport(app, context, entity, permission);
}

function registerExport(app: App, context: Context, entity: Entity, permission: Permission): void {
  app.get(
    `${pathOf(entity)}/export.csv`,
    {
      config: { access: { permission }, isTransfer: true },
      schema: {
        tags: [entity.table],
        summary: `The list of ${entity.table} as CSV, all of it`,
        querystring: exportQuerySchema(entity),
        response: answers(200, z.string().describe('CSV in UTF-8, a first line of titles.')),
      },
    },
    async (request, reply) => {
      const day = new Date(context.now()).toISOString().slice(0, 10);
      void reply.headers({
        'content-type': 'text/csv; charset=utf-8',
        'content-disposition': `attachment; filename="${entity.table}-${day}.csv"`,
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      });
      // The headers are all that is asked for.
      if (request.method === 'HEAD') return reply.send('');
      const { separator, bom, ...query } = request.query;
      const { header, rows } = await openExport(admitting(context, request), entity, {
        ...viewerOf(request),
        query,
        signal: request.cancel,
      });
      const bytes = writeCsv(rows, {
        header,
        separator: separator === 'tab' ? '\t' : separator,
        hasByteOrderMark: bom === 'true',
      });
      // Asked for as fast as the caller takes it; ends, with its statement, when the caller leaves.
      return reply.send(Readable.from(bytes, { objectMode: false }));
    },
  );
}

/** A file may be read for minutes: no batch of it is for who was shut out since the one before. */
function admitting({ database }: Context, request: Request): Queries {
  return {
    query: async (statement, options) => {
      await admitAgain(database, request);
      return database.query(statement, options);
    },
  };
}
