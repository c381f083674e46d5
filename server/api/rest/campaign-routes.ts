import { campaigns } from '../../../domain/entities/campaigns.ts';
import { createSchema, patchSchema } from '../../../domain/entity.ts';
import type { Written } from '../../../platform/entity-sql.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { cancelCampaign } from '../../commands/cancel-campaign.ts';
import { changeCampaign, createCampaign, deleteCampaign } from '../../commands/change-campaign.ts';
import { pauseCampaign } from '../../commands/pause-campaign.ts';
import { startCampaign } from '../../commands/start-campaign.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { answerDeleted, answerRow, viewerOf } from './entity-routes.ts';
import { registerRecipientRoutes } from './recipient-routes.ts';
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

const config = { access: { permission: 'campaigns' } } as const;
const tags = ['campaigns'];
const row = oneOf(answeredRow(campaigns));

/** Where campaigns differ from the plain routes: what may be done to one depends on where it is. Lists are plain. */
export function registerCampaignRoutes(app: App, context: Context): void {
  registerCreate(app, context);
  registerChange(app, context);
  registerDelete(app, context);
  registerStep(app, context, {
    verb: 'start',
    summary: 'Start a campaign, or go on with one that is paused; at its time, if that is to come',
    description:
      '422 says what is missing, in `details.reason`: no_device, no_recipients, missing_values (with the names and how ' +
      'many recipients lack each in `details.missing`), template, not_stored.',
    step: (tx, one) => startCampaign(tx, { ...one, now: context.now(), random: Math.random }),
  });
  registerStep(app, context, {
    verb: 'pause',
    summary: 'Pause a campaign: nobody else is claimed',
    description: 'Up to five messages that are in the outbox already are still sent.',
    step: pauseCampaign,
  });
  registerStep(app, context, {
    verb: 'cancel',
    summary: 'End a campaign: whoever still waits is skipped',
    description:
      'Up to five messages that are in the outbox already are still sent. Of very many recipients the last are skipped ' +
      'moments later.',
    step: (tx, one) => cancelCampaign(tx, { ...one, now: context.now() }),
  });
  registerRecipientRoutes(app, context);
}

function registerCreate(app: App, context: Context): void {
  app.post(
    '/api/campaigns',
    {
      config,
      schema: {
        tags,
        summary: 'Draft a campaign',
        description:
          'Its template may say {{name}}, {{phone}}, {{email}}, {{company}} and the variables of its recipients; what ' +
          'stands after a bar is for those without: {{name|friend}}.',
        body: createSchema(campaigns),
        headers: writeHeaders,
        response: answers(201, row),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { userId: actorId } = principalOf(request);
        const draft = { ...viewerOf(request), actorId, values: request.body };
        return answerRow(campaigns, await createCampaign(tx, draft), 201);
      }),
  );
}

function registerChange(app: App, context: Context): void {
  app.patch(
    '/api/campaigns/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Change a campaign that does not run: only what is sent',
        params: idParams,
        body: patchSchema(campaigns),
        headers: versionedWriteHeaders,
        response: answers(200, row),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices } = viewerOf(request);
        const one = { accountId, devices, id: request.params.id, ifMatch: readIfMatch(request) };
        const change = { ...one, values: request.body, now: context.now() };
        return answerRow(campaigns, await changeCampaign(tx, change));
      }),
  );
}

function registerDelete(app: App, context: Context): void {
  app.delete(
    '/api/campaigns/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Delete a campaign that does not run, with its recipients; answers it as it was',
        params: idParams,
        headers: versionedWriteHeaders,
        response: answers(200, row),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices } = viewerOf(request);
        const one = { accountId, devices, id: request.params.id, ifMatch: readIfMatch(request) };
        return answerDeleted(await deleteCampaign(tx, one));
      }),
  );
}

type One = { accountId: number; devices: readonly number[] | undefined; id: number };
type Step = {
  verb: 'start' | 'pause' | 'cancel';
  summary: string;
  description: string;
  step: (tx: Queries, one: One) => Promise<Written | undefined>;
};

function registerStep(app: App, context: Context, { verb, step, ...says }: Step): void {
  app.post(
    `/api/campaigns/:id/${verb}`,
    {
      config,
      schema: {
        tags,
        ...says,
        params: idParams,
        headers: writeHeaders,
        response: answers(200, row),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices } = viewerOf(request);
        const { id } = request.params as { id: number };
        return answerRow(campaigns, await step(tx, { accountId, devices, id }));
      }),
  );
}
