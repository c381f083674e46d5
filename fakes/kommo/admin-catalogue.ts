import { z } from 'zod';
import type { AdminRequest, AdminRoute } from './admin-route.ts';
import {
  contactInput,
  fieldDefinitionInput,
  leadInput,
  pipelineInput,
  stageInput,
  tagInput,
  userInput,
} from './inputs.ts';
import { ENTITIES } from './model.ts';
import type { World } from './world.ts';

/** Pipelines, tags, people, fields, reasons and incoming leads of one account, under `/__admin/accounts/:subdomain`. */
const number = (request: AdminRequest, name: string): number =>
  z.coerce.number().int().parse(request.params[name]);
const entity = ({ params }: AdminRequest) => z.enum(ENTITIES).parse(params['entity']);
const named = z.strictObject({ name: z.string().min(1) });
const order = z.strictObject({ ids: z.array(z.int()) });
const moveTo = z.strictObject({ to: z.int().optional() });
const pipelinePatch = z.strictObject({
  name: z.string().min(1).optional(),
  isArchive: z.boolean().optional(),
  isMain: z.boolean().optional(),
});

const PIPELINES: readonly AdminRoute<World>[] = [
  { method: 'GET', path: 'pipelines', run: (world) => world.pipelines.list() },
  {
    method: 'POST',
    path: 'pipelines',
    run: (world, { body }) => world.pipelines.add(pipelineInput.parse(body)),
  },
  {
    method: 'POST',
    path: 'pipelines/order',
    run: (world, { body }) => world.pipelines.reorder(order.parse(body).ids),
  },
  {
    method: 'PATCH',
    path: 'pipelines/:id',
    run: (world, request) =>
      world.pipelines.update(number(request, 'id'), pipelinePatch.parse(request.body)),
  },
  {
    method: 'DELETE',
    path: 'pipelines/:id',
    run: (world, request) =>
      world.pipelines.remove(number(request, 'id'), moveTo.parse(request.body).to),
  },
  {
    method: 'POST',
    path: 'pipelines/:id/stages',
    run: (world, request) =>
      world.pipelines.addStage(number(request, 'id'), stageInput.parse(request.body)),
  },
  {
    method: 'POST',
    path: 'pipelines/:id/stages/order',
    run: (world, request) =>
      world.pipelines.reorderStages(number(request, 'id'), order.parse(request.body).ids),
  },
  {
    method: 'PATCH',
    path: 'pipelines/:id/stages/:stage',
    run: (world, request) =>
      world.pipelines.updateStage(
        number(request, 'id'),
        number(request, 'stage'),
        stageInput.partial().parse(request.body),
      ),
  },
  {
    method: 'DELETE',
    path: 'pipelines/:id/stages/:stage',
    run: (world, request) =>
      world.pipelines.removeStage(
        number(request, 'id'),
        number(request, 'stage'),
        moveTo.parse(request.body).to,
      ),
  },
];

const TAGS: readonly AdminRoute<World>[] = [
  {
    method: 'GET',
    path: 'tags/:entity',
    run: (world, request) => world.tags.list(entity(request)),
  },
  {
    method: 'POST',
    path: 'tags',
    run: (world, { body }) => {
      const { entity: of, name, color } = tagInput.parse(body);
      return world.tags.add(of, name, color);
    },
  },
  {
    method: 'PATCH',
    path: 'tags/:entity/:id',
    run: (world, request) => {
      const patch = tagInput.omit({ entity: true }).partial().parse(request.body);
      return world.tags.update(entity(request), number(request, 'id'), patch);
    },
  },
  {
    method: 'DELETE',
    path: 'tags/:entity/:id',
    run: (world, request) => world.tags.remove(entity(request), number(request, 'id')),
  },
];

const PEOPLE: readonly AdminRoute<World>[] = [
  { method: 'GET', path: 'users', run: (world) => world.users.list() },
  {
    method: 'POST',
    path: 'users',
    run: (world, { body }) => world.users.add(userInput.parse(body)),
  },
  {
    method: 'PATCH',
    path: 'users/:id',
    run: (world, request) =>
      world.users.update(number(request, 'id'), userInput.partial().parse(request.body)),
  },
  {
    method: 'DELETE',
    path: 'users/:id',
    run: (world, request) => world.users.remove(number(request, 'id')),
  },
];

const FIELDS: readonly AdminRoute<World>[] = [
  {
    method: 'POST',
    path: 'fields',
    run: (world, { body }) => world.fields.define(fieldDefinitionInput.parse(body)),
  },
  {
    method: 'PATCH',
    path: 'fields/:id',
    run: (world, request) =>
      world.fields.rename(number(request, 'id'), named.parse(request.body).name),
  },
  {
    method: 'DELETE',
    path: 'fields/:id',
    run: (world, request) => world.fields.remove(number(request, 'id')),
  },
  {
    method: 'POST',
    path: 'loss-reasons',
    run: (world, { body }) => world.lossReasons.add(named.parse(body).name),
  },
  {
    method: 'PATCH',
    path: 'loss-reasons/:id',
    run: (world, request) =>
      world.lossReasons.rename(number(request, 'id'), named.parse(request.body).name),
  },
  {
    method: 'DELETE',
    path: 'loss-reasons/:id',
    run: (world, request) => world.lossReasons.remove(number(request, 'id')),
  },
];

const incomingBody = z.strictObject({
  lead: leadInput.optional(),
  contact: contactInput.optional(),
});

const INCOMING: readonly AdminRoute<World>[] = [
  { method: 'GET', path: 'unsorted', run: (world) => world.unsorted.list() },
  {
    method: 'POST',
    path: 'unsorted',
    run: (world, { body }) => world.unsorted.add(incomingBody.parse(body)),
  },
  {
    method: 'POST',
    path: 'unsorted/:uid/accept',
    run: (world, { params }) => world.unsorted.accept(params['uid'] ?? ''),
  },
  {
    method: 'POST',
    path: 'unsorted/:uid/decline',
    run: (world, { params }) => world.unsorted.decline(params['uid'] ?? ''),
  },
];

export const CATALOGUE_ROUTES: readonly AdminRoute<World>[] = [
  ...PIPELINES,
  ...TAGS,
  ...PEOPLE,
  ...FIELDS,
  ...INCOMING,
];
