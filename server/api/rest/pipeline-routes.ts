import { z } from 'zod';
import { pipeline_stages } from '../../../domain/entities/pipeline_stages.ts';
import { pipelines } from '../../../domain/entities/pipelines.ts';
import { saveStages } from '../../commands/save-stages.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { etagOfAnswer } from './etag.ts';
import { notFound } from './read.ts';
import { readIfMatchWhole } from './request-headers.ts';
import {
  answeredRow,
  answers,
  idParams,
  idSchema,
  oneOf,
  versionedWriteHeaders,
} from './schemas.ts';
import { write } from './write.ts';

const STAGES_MAX = 100;
const REASSIGNMENTS_MAX = 100;

/** What pipelines have beyond the plain routes: the layout of their stages, saved as a whole. */
export function registerPipelineRoutes(app: App, context: Context): void {
  const { name, color, type } = pipeline_stages.columns;
  const draft = z.strictObject({
    id: idSchema.optional().describe('Absent: a new stage.'),
    name: name.value as z.ZodType<string>,
    color: (color.value as z.ZodType<string>).optional(),
    type: (type.value as z.ZodType<string>)
      .optional()
      .describe('For new stages; the type of others stays.'),
  });
  app.put(
    '/api/pipelines/:id/stages',
    {
      config: { access: { permission: 'pipelines' } },
      schema: {
        tags: ['pipelines'],
        summary: 'Save all stages at once, in their order; those left out are removed',
        params: idParams,
        body: z.strictObject({
          stages: z
            .array(draft)
            .min(2)
            .max(STAGES_MAX)
            .refine(hasDistinctIds, 'names a stage twice')
            .meta({
              example: [
                { id: 1, name: 'New', color: '#0ea5e9' },
                { name: 'Visited', color: '#6366f1' },
                { id: 2, name: 'Won' },
              ],
            }),
          reassign: z
            .array(z.strictObject({ from: idSchema, to: idSchema }))
            .max(REASSIGNMENTS_MAX)
            .default([])
            .describe('Where the leads of removed stages go.'),
        }),
        headers: versionedWriteHeaders,
        response: answers(200, oneOf(answeredRow(pipelines))),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId } = principalOf(request);
        const { stages, reassign } = request.body;
        // Stages change without their pipeline being written: it is the layout seen that must still be there.
        const ifMatch = readIfMatchWhole(request);
        const isSeen = (json: string): boolean =>
          etagOfAnswer(pipelines, `{"data":${json}}`) === ifMatch;
        const json = await saveStages(tx, {
          accountId,
          pipelineId: request.params.id,
          stages,
          reassign,
          ...(ifMatch === undefined ? {} : { isSeen }),
        });
        if (json === undefined) throw notFound();
        const body = `{"data":${json}}`;
        return { status: 200, body, etag: etagOfAnswer(pipelines, body) };
      }),
  );
}

function hasDistinctIds(stages: readonly { id?: number | undefined }[]): boolean {
  const ids = stages.flatMap(({ id }) => (id === undefined ? [] : [id]));
  return new Set(ids).size === ids.length;
}
