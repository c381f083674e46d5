import { z } from 'zod';
import type { AdminRequest, AdminRoute } from './admin-route.ts';
import { documentOf } from './documents.ts';
import { editAtRandom } from './edits.ts';
import { accountInput, contactInput, generateInput, leadInput } from './inputs.ts';
import { ENTITIES, mustFind, type EntityName } from './model.ts';
import { createRandom } from './random.ts';
import type { World } from './world.ts';

/** What can be done to one account, under `/__admin/accounts/:subdomain`. */
type Route = AdminRoute<World>;

const id = ({ params }: AdminRequest): number => z.coerce.number().int().parse(params['id']);
const by = z.int().min(0).default(0);
const byOnly = z.strictObject({ by });
const tagsBody = z.strictObject({ tags: z.array(z.string().min(1)).min(1), by });
const linkBody = z.strictObject({ contactId: z.int(), isMain: z.boolean().optional(), by });
const mergeBody = z.strictObject({ into: z.int(), from: z.int(), by });
const editsBody = z.strictObject({ count: z.int().min(1).max(10_000).default(1), seed: z.int() });
const tokenBody = z.strictObject({
  kind: z.enum(['code', 'pair', 'long-lived']),
  days: z.number().positive().optional(),
});
const bulkOf = <T extends z.ZodType>(patch: T) =>
  z.strictObject({
    ids: z.array(z.int()).optional(),
    count: z.int().min(0).optional(),
    patch: patch.optional(),
    by,
  });
const INPUTS = { leads: leadInput, contacts: contactInput } as const;
const LISTED_MAX = 1_000;

/** As the API would show it if nothing were hidden, late or deleted. */
function show(world: World, entity: EntityName, rowId: number): unknown {
  const row = mustFind(world[entity].get(rowId), `such row of ${entity}`);
  return documentOf(world, row);
}

/** By id, from `after` on. */
function listRows(world: World, entity: EntityName, query: URLSearchParams): unknown {
  const after = z.coerce.number().parse(query.get('after') ?? '0');
  const limit = z.coerce
    .number()
    .max(LISTED_MAX)
    .parse(query.get('limit') ?? LISTED_MAX);
  const rows = [...world[entity].all()]
    .filter((row) => row.id > after)
    .sort((a, b) => a.id - b.id)
    .slice(0, limit);
  return rows.map((row) => documentOf(world, row));
}

function routesOf(entity: EntityName): Route[] {
  const one = `${entity}/:id`;
  return [
    { method: 'GET', path: entity, run: (world, { query }) => listRows(world, entity, query) },
    {
      method: 'POST',
      path: entity,
      run: (world, { body }) =>
        show(world, entity, world[entity].create(INPUTS[entity].parse(body)).id),
    },
    {
      method: 'POST',
      path: `${entity}/bulk`,
      run: (world, { body }) => ({
        ids:
          entity === 'leads'
            ? world.bulkEdit(entity, bulkOf(leadInput).parse(body))
            : world.bulkEdit(entity, bulkOf(contactInput).parse(body)),
      }),
    },
    { method: 'GET', path: one, run: (world, request) => show(world, entity, id(request)) },
    {
      method: 'PATCH',
      path: one,
      run: (world, request) =>
        show(
          world,
          entity,
          world[entity].update(id(request), INPUTS[entity].parse(request.body)).id,
        ),
    },
    {
      method: 'DELETE',
      path: one,
      run: (world, request) => world[entity].delete(id(request), byOnly.parse(request.body).by),
    },
    {
      method: 'POST',
      path: `${one}/restore`,
      run: (world, request) =>
        show(world, entity, world[entity].restore(id(request), byOnly.parse(request.body).by).id),
    },
    {
      method: 'POST',
      path: `${one}/purge`,
      run: (world, request) => world[entity].purge(id(request), byOnly.parse(request.body).by),
    },
    {
      method: 'POST',
      path: `${one}/touch`,
      run: (world, request) => show(world, entity, world[entity].touch(id(request)).id),
    },
    {
      method: 'POST',
      path: `${one}/tag`,
      run: (world, request) => {
        const { tags, by: who } = tagsBody.parse(request.body);
        return show(world, entity, world[entity].tag(id(request), tags, who).id);
      },
    },
    {
      method: 'POST',
      path: `${one}/untag`,
      run: (world, request) => {
        const { tags, by: who } = tagsBody.parse(request.body);
        return show(world, entity, world[entity].untag(id(request), tags, who).id);
      },
    },
  ];
}

const LINKS: readonly Route[] = [
  {
    method: 'POST',
    path: 'leads/:id/link',
    run: (world, request) => {
      const { contactId, ...how } = linkBody.parse(request.body);
      return show(world, 'leads', world.leads.link(id(request), contactId, how).id);
    },
  },
  {
    method: 'POST',
    path: 'leads/:id/unlink',
    run: (world, request) => {
      const { contactId, by: who } = linkBody.parse(request.body);
      return show(world, 'leads', world.leads.unlink(id(request), contactId, who).id);
    },
  },
  {
    method: 'POST',
    path: 'contacts/merge',
    run: (world, { body }) => {
      return show(world, 'contacts', world.contacts.merge(mergeBody.parse(body)).id);
    },
  },
];

const ACCOUNT: readonly Route[] = [
  {
    method: 'GET',
    path: '',
    run: (world) => ({
      id: world.id,
      name: world.name,
      subdomain: world.subdomain,
      settings: world.settings,
      leads: world.leads.count,
      contacts: world.contacts.count,
      edits: { leads: world.leads.edits, contacts: world.contacts.edits },
    }),
  },
  {
    method: 'PATCH',
    path: 'settings',
    run: (world, { body }) => {
      world.set(z.looseObject({}).parse(body));
      return world.settings;
    },
  },
  {
    method: 'POST',
    path: 'rename',
    run: (world, { body }) =>
      world.rename(accountInput.pick({ subdomain: true }).parse(body).subdomain),
  },
  {
    method: 'POST',
    path: 'generate',
    run: (world, { body }) => {
      world.generate(generateInput.parse(body));
      return { leads: world.leads.count, contacts: world.contacts.count };
    },
  },
  {
    method: 'POST',
    path: 'edits',
    run: (world, { body }) => {
      const { count, seed } = editsBody.parse(body);
      const random = createRandom(seed, 'edits');
      return Array.from({ length: count }, () => editAtRandom(world, random) ?? null);
    },
  },
  {
    method: 'POST',
    path: 'tokens',
    run: (world, { body }) => {
      const { kind, days } = tokenBody.parse(body);
      if (kind === 'code') return { code: world.tokens.issueCode() };
      if (kind === 'pair') return world.tokens.issuePair();
      return { longLivedToken: world.tokens.issueLongLived(days) };
    },
  },
  {
    method: 'POST',
    path: 'tokens/revoke',
    run: (world, { body }) => {
      const { token } = z.strictObject({ token: z.string().optional() }).parse(body);
      if (token === undefined) world.tokens.revokeAll();
      else world.tokens.revoke(token);
    },
  },
  { method: 'GET', path: 'deliveries', run: (world) => world.webhooks.deliveries },
];

export const WORLD_ROUTES: readonly Route[] = [
  ...ACCOUNT,
  // Before `contacts/:id`.
  ...LINKS,
  ...ENTITIES.flatMap(routesOf),
];
