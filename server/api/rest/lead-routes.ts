import { z } from 'zod';
import { listFamily } from '../../../domain/cache-key.ts';
import { pipeline_stages } from '../../../domain/entities/pipeline_stages.ts';
import { leads } from '../../../domain/entities/leads.ts';
import { rowSchema } from '../../../domain/entity.ts';
import { boardKey, boardQuerySchema } from '../../../platform/entity-sql/board.ts';
import type { Written } from '../../../platform/entity-sql.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { closeLead } from '../../commands/close-lead.ts';
import { deleteRow } from '../../commands/delete-row.ts';
import { markLead, type LeadMark } from '../../commands/mark-lead.ts';
import { moveLead } from '../../commands/move-lead.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { answerDeleted, answerRow } from './entity-routes.ts';
import { loadBoard } from './loaders.ts';
import { read } from './read.ts';
import { readIfMatch } from './request-headers.ts';
import {
  answeredRow,
  answers,
  idParams,
  idSchema,
  oneOf,
  readHeaders,
  versionedWriteHeaders,
} from './schemas.ts';
import { write } from './write.ts';

const access = { permission: 'leads' } as const;
const tags = ['leads'];
const response = answers(200, oneOf(answeredRow(leads)));
const position = leads.columns.position.value as z.ZodType<number>;
const reason = leads.columns.close_reason.value as z.ZodType<string>;

/** What leads have beyond the plain routes: the board, stages, won and lost, archive and trash. */
export function registerLeadRoutes(app: App, context: Context): void {
  registerBoard(app, context);
  registerDelete(app, context);

  registerStep(app, context, {
    step: 'stage',
    summary: 'Move to a stage, at a position',
    body: z.strictObject({ stage_id: idSchema, position: position.optional() }),
    run: (tx, lead, { stage_id, position }) =>
      moveLead(tx, { ...lead, stageId: stage_id, position }),
  });
  for (const outcome of ['won', 'lost'] as const) {
    registerStep(app, context, {
      step: outcome,
      summary: `Close as ${outcome}`,
      body: z.strictObject({ reason: reason.optional() }).nullish(),
      run: (tx, lead, body) => closeLead(tx, { ...lead, outcome, reason: body?.reason }),
    });
  }
  registerMark(app, context, {
    step: 'archive',
    summary: 'Put into the archive',
    mark: 'archived_at',
    isSet: true,
  });
  registerMark(app, context, {
    step: 'unarchive',
    summary: 'Take out of the archive',
    mark: 'archived_at',
    isSet: false,
  });
  registerMark(app, context, {
    step: 'restore',
    summary: 'Take out of the trash',
    mark: 'deleted_at',
    isSet: false,
  });
}

function registerBoard(app: App, context: Context): void {
  const column = rowSchema(pipeline_stages).extend({
    total: z.int(),
    leads: z.array(answeredRow(leads)),
    next_cursor: z
      .string()
      .optional()
      .describe('Goes on in the list with stage_id, sort and order.'),
  });
  app.get(
    '/api/leads/board',
    {
      config: { access },
      schema: {
        tags,
        summary: 'A pipeline as a board: the first leads of each stage, with counts',
        querystring: boardQuerySchema(),
        headers: readHeaders,
        response: answers(200, oneOf(z.object({ pipeline_id: idSchema, stages: z.array(column) }))),
      },
    },
    async (request, reply) => {
      const { query } = request;
      const { accountId } = principalOf(request);
      // Which pipeline is the default one is no matter of leads: no change of it would drop this entry.
      const isKept = query.pipelineId !== undefined;
      const body = await read(context, request, reply, {
        place: isKept ? { family: listFamily('leads'), field: boardKey(query) } : undefined,
        load: (signal) => loadBoard(context.database, { accountId, query, signal }),
      });
      return reply.send(body);
    },
  );
}

function registerDelete(app: App, context: Context): void {
  app.delete(
    '/api/leads/:id',
    {
      config: { access },
      schema: {
        tags,
        summary: 'Put into the trash for 30 days, or remove for good',
        params: idParams,
        querystring: z.strictObject({ permanent: z.enum(['true', 'false']).default('false') }),
        headers: versionedWriteHeaders,
        response,
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const lead = {
          accountId: principalOf(request).accountId,
          id: request.params.id,
          ifMatch: readIfMatch(request),
        };
        if (request.query.permanent === 'true')
          return answerDeleted(await deleteRow(tx, { entity: leads, ...lead }));
        return answerRow(leads, await markLead(tx, { ...lead, mark: 'deleted_at', isSet: true }));
      }),
  );
}

type LeadPlace = { accountId: number; id: number; ifMatch: string | undefined };

type Step<B extends z.ZodType> = {
  step: string;
  summary: string;
  body: B;
  run: (tx: Queries, lead: LeadPlace, body: z.output<B>) => Promise<Written | undefined>;
};

/** `POST /api/leads/:id/<step>`: one command on one lead, answered with the lead. */
function registerStep<B extends z.ZodType>(
  app: App,
  context: Context,
  { step, summary, body, run }: Step<B>,
): void {
  app.post(
    `/api/leads/:id/${step}`,
    {
      config: { access },
      schema: { tags, summary, params: idParams, body, headers: versionedWriteHeaders, response },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { id } = request.params as z.output<typeof idParams>;
        const lead = {
          accountId: principalOf(request).accountId,
          id,
          ifMatch: readIfMatch(request),
        };
        return answerRow(leads, await run(tx, lead, request.body as z.output<B>));
      }),
  );
}

type MarkStep = { step: string; summary: string; mark: LeadMark; isSet: boolean };

function registerMark(app: App, context: Context, { mark, isSet, ...step }: MarkStep): void {
  registerStep(app, context, {
    ...step,
    body: z.strictObject({}).nullish(),
    run: (tx, lead) => markLead(tx, { ...lead, mark, isSet }),
  });
}
