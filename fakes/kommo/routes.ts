import { z } from 'zod';
import { hal, NO_CONTENT, type Answer } from './answer.ts';
import * as documents from './documents.ts';
import type { Endpoint } from './endpoints.ts';
import { getEntity, listAnswer, listEntities, type Context } from './entity-routes.ts';
import { EVENT_TYPES } from './event-kinds.ts';
import type { EntityName } from './model.ts';
import { badRequest, Problem } from './problem.ts';
import { parseEventFilter, parsePage } from './query.ts';
import { WEBHOOK_SETTINGS } from './webhook-kinds.ts';
import { isOnLoopback, WEBHOOKS_MAX } from './webhooks.ts';

type Handler = (context: Context) => Answer;
type Handlers = { readonly [Method in 'GET' | 'POST' | 'DELETE']?: Handler };
type ApiEndpoint = Exclude<Endpoint, `oauth2/${string}`>;

/** @throws Problem 405 for a method it does not know, and what the handlers throw. */
export function answerApiRequest(endpoint: ApiEndpoint, context: Context): Answer {
  const handlers: Readonly<Record<string, Handler | undefined>> = ROUTES[endpoint];
  const handler = handlers[context.method];
  if (handler === undefined) throw new Problem(405, `Method ${context.method} is not allowed here`);
  return handler(context);
}

const ROUTES: Readonly<Record<ApiEndpoint, Handlers>> = {
  account: { GET: ({ world, base }) => hal(documents.accountDocument(world, base)) },
  leads: { GET: (context) => listEntities(context, 'leads') },
  'leads/{id}': { GET: (context) => getEntity(context, 'leads') },
  contacts: { GET: (context) => listEntities(context, 'contacts') },
  'contacts/{id}': { GET: (context) => getEntity(context, 'contacts') },
  'leads/pipelines': { GET: listPipelines },
  'leads/pipelines/{id}': {
    GET: (context) =>
      hal(documents.pipelineDocument(context.world, pipelineOf(context), context.base)),
  },
  'leads/pipelines/{id}/statuses': { GET: listStages },
  'leads/pipelines/{id}/statuses/{id}': { GET: getStage },
  'leads/tags': { GET: (context) => listTags(context, 'leads') },
  'contacts/tags': { GET: (context) => listTags(context, 'contacts') },
  'leads/unsorted': { GET: listIncoming },
  'leads/loss_reasons': {
    GET: (context) =>
      counted(
        context,
        'loss_reasons',
        context.world.lossReasons.list().map(documents.reasonDocument),
      ),
  },
  'leads/custom_fields': { GET: (context) => listFields(context, 'leads') },
  'contacts/custom_fields': { GET: (context) => listFields(context, 'contacts') },
  users: { GET: listUsers },
  'users/{id}': { GET: getUser },
  events: { GET: listEvents },
  'events/types': { GET: listEventTypes },
  'events/{id}': { GET: getEvent },
  webhooks: { GET: listWebhooks, POST: setWebhook, DELETE: removeWebhook },
};

function listPipelines({ world, base, path }: Context): Answer {
  const pipelines = world.pipelines.list();
  return hal({
    _total_items: pipelines.length,
    _links: { self: { href: `${base}${path}` } },
    _embedded: {
      pipelines: pipelines.map((each) => documents.pipelineDocument(world, each, base)),
    },
  });
}

function pipelineOf({ world, ids }: Context) {
  const pipeline = world.pipelines.get(Number(ids[0]));
  if (pipeline === undefined) throw new Problem(404, 'Not found');
  return pipeline;
}

function listStages(context: Context): Answer {
  const { world, base, path } = context;
  const pipeline = pipelineOf(context);
  return hal({
    _total_items: pipeline.stages.length,
    _links: { self: { href: `${base}${path}` } },
    _embedded: {
      statuses: pipeline.stages.map((stage) =>
        documents.stageDocument(world, { pipeline, stage, base }),
      ),
    },
  });
}

function getStage(context: Context): Answer {
  const { world, base, ids } = context;
  const pipeline = pipelineOf(context);
  const stage = pipeline.stages.find(({ id }) => id === Number(ids[1]));
  if (stage === undefined) throw new Problem(404, 'Not found');
  return hal(documents.stageDocument(world, { pipeline, stage, base }));
}

/** One page of a list that is short and whole in memory. 204 when it is empty. */
function paged(context: Context, name: string, rows: readonly unknown[]): Answer {
  const { limit, page } = parsePage(context.parameters, context.world.settings);
  const start = (page - 1) * limit;
  const shown = rows.slice(start, start + limit);
  if (shown.length === 0) return NO_CONTENT;
  const hasMore = rows.length > start + limit;
  return listAnswer(context, {
    name,
    documents: shown,
    page,
    isFull: shown.length === limit,
    hasMore,
  });
}

/** The same for those that tell their total. */
function counted(context: Context, name: string, rows: readonly unknown[]): Answer {
  const answer = paged(context, name, rows);
  if (answer.status === 204) return answer;
  const { limit } = parsePage(context.parameters, context.world.settings);
  const total = { _total_items: rows.length, _page_count: Math.ceil(rows.length / limit) };
  return hal({ ...total, ...(answer.body as object) });
}

function listTags(context: Context, entity: EntityName): Answer {
  const { world, parameters } = context;
  const name = parameters.get('filter[name]');
  const search = parameters.get('query')?.toLowerCase();
  const tags = world.tags
    .list(entity)
    .filter(
      (tag) =>
        (name === null || tag.name === name) &&
        (search === undefined || tag.name.toLowerCase().includes(search)),
    );
  return paged(context, 'tags', tags);
}

function listIncoming(context: Context): Answer {
  const { world, base } = context;
  const rows = world.unsorted.list().map((each) => documents.incomingDocument(world, each, base));
  return paged(context, 'unsorted', rows);
}

function listFields(context: Context, entity: EntityName): Answer {
  const { world } = context;
  const rows = world.fields
    .list(entity)
    .map((each) => documents.fieldDefinitionDocument(world, each, entity));
  return counted(context, 'custom_fields', rows);
}

/** @throws Problem 403: JSON, as rights are; a block is a page. */
function assertAdministrator({ world }: Context): void {
  if (!world.settings.isAdministrator) throw new Problem(403, 'Forbidden');
}

function listUsers(context: Context): Answer {
  assertAdministrator(context);
  const { world, base } = context;
  const rows = world.users.list().map((user) => documents.userDocument(user, base));
  return counted(context, 'users', rows);
}

function getUser(context: Context): Answer {
  assertAdministrator(context);
  const user = context.world.users.get(Number(context.ids[0]));
  return user ? hal(documents.userDocument(user, context.base)) : NO_CONTENT;
}

function isEventSeen({ world }: Context, event: { entityType: string; entityId: number }): boolean {
  const row = world[event.entityType === 'lead' ? 'leads' : 'contacts'].get(event.entityId);
  return row === undefined || !world.isHidden(row);
}

function listEvents(context: Context): Answer {
  const { world, parameters, base } = context;
  const asked = parsePage(parameters, world.settings);
  const limit = Math.min(asked.limit, world.settings.eventsPerPageMax);
  const found = world.events
    .list(parseEventFilter(parameters))
    .filter((event) => isEventSeen(context, event));
  const start = (asked.page - 1) * limit;
  const shown = found.slice(start, start + limit);
  if (shown.length === 0) return NO_CONTENT;
  return listAnswer(context, {
    name: 'events',
    documents: shown.map((event) => documents.eventDocument(world, event, base)),
    page: asked.page,
    isFull: shown.length === limit,
    hasMore: found.length > start + limit,
  });
}

function getEvent(context: Context): Answer {
  const { world, ids, base } = context;
  const event = world.events.get(ids[0] ?? '');
  if (event === undefined || !isEventSeen(context, event)) throw new Problem(404, 'Not found');
  return hal(documents.eventDocument(world, event, base));
}

function listEventTypes({ base, path }: Context): Answer {
  return hal({
    _total_items: EVENT_TYPES.length,
    _links: { self: { href: `${base}${path}` } },
    _embedded: {
      events_types: EVENT_TYPES.map((key, type) => ({ key, type: type + 1, lang: key })),
    },
  });
}

function listWebhooks(context: Context): Answer {
  assertAdministrator(context);
  const { world, parameters } = context;
  const destination = parameters.get('filter[destination]');
  const rows = world.webhooks
    .list()
    .filter((hook) => destination === null || hook.destination === destination)
    .map((hook) => documents.webhookDocument(hook, world));
  return counted(context, 'webhooks', rows);
}

const webhookBody = z.looseObject({
  destination: z.url(),
  settings: z.array(z.string()).min(1),
});

function setWebhook(context: Context): Answer {
  assertAdministrator(context);
  const { world, body } = context;
  const parsed = webhookBody.safeParse(body);
  if (!parsed.success) {
    throw badRequest(
      parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), detail: message })),
    );
  }
  const { destination } = parsed.data;
  if (!isOnLoopback(destination)) {
    throw badRequest([{ path: 'destination', detail: 'The fake calls this machine only.' }]);
  }
  // Those of entities that the fake has not are taken and never told.
  const settings = WEBHOOK_SETTINGS.filter((each) => parsed.data.settings.includes(each));
  const isNew = !world.webhooks.list().some((hook) => hook.destination === destination);
  if (isNew && world.webhooks.list().length >= WEBHOOKS_MAX) {
    throw new Problem(422, 'Limit 100 webhooks per account');
  }
  return hal(documents.webhookDocument(world.webhooks.set(destination, settings), world), 201);
}

function removeWebhook(context: Context): Answer {
  assertAdministrator(context);
  const { destination } = context.body;
  if (typeof destination !== 'string' || !context.world.webhooks.remove(destination)) {
    throw new Problem(404, 'Not found');
  }
  return NO_CONTENT;
}
