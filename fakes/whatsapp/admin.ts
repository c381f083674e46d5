import { z } from 'zod';
import { matchPath, type AdminRequest, type AdminRoute } from '../kommo/admin-route.ts';
import type { Acts } from './acts.ts';
import { DEVICE_ROUTES } from './admin-devices.ts';
import { PEOPLE_ROUTES } from './admin-people.ts';
import { faultInput } from './faults.ts';
import { contentOfSaid, saidInput } from './said.ts';
import { WorldError } from './world-error.ts';
import type { World } from './world.ts';

/** What a fake is made of, for whoever may change it. */
export type Parts = {
  readonly world: World;
  readonly acts: Acts;
  /** Nobody is there for so long. */
  readonly goDownFor: (ms: number) => void;
  readonly certificatePath: string;
};

export type AdminAnswer = { readonly status: number; readonly body: unknown };

/**
 * The world over HTTP, for programs in other processes: `/__admin/...`, JSON both ways. Refusals are `{ error }` with 400,
 * 404 or 409. Not logged, met by no fault.
 */
export async function answerAdminRequest(
  parts: Parts,
  request: { method: string; path: string; query: URLSearchParams; body: unknown },
): Promise<AdminAnswer> {
  const path = request.path.replace(/^\/__admin\/?/, '').replace(/\/$/, '');
  try {
    for (const route of ROUTES) {
      const params = route.method === request.method && matchPath(route.path, path);
      if (!params) continue;
      const asked: AdminRequest = { ...request, params };
      const result = await route.run(parts, asked);
      return result === undefined
        ? { status: 204, body: undefined }
        : { status: 200, body: result };
    }
    return { status: 404, body: { error: `there is no ${request.method} ${request.path}` } };
  } catch (error) {
    if (error instanceof z.ZodError) {
      return { status: 400, body: { error: z.prettifyError(error), issues: error.issues } };
    }
    if (error instanceof WorldError) return { status: 409, body: { error: error.message } };
    throw error;
  }
}

const logQuery = z.object({
  device: z.string().optional(),
  way: z.enum(['in', 'out']).optional(),
  tag: z.string().optional(),
  xmlns: z.string().optional(),
  id: z.string().optional(),
  after: z.coerce.number().optional(),
});
const groupBody = z.strictObject({
  subject: z.string(),
  members: z.array(z.string()).min(1),
  isByLid: z.boolean().optional(),
});
const settingsBody = z.strictObject({
  preKeysTold: z.union([z.number().int().min(0), z.literal('real')]).optional(),
  mediaRetry: z
    .enum(['success', 'general-error', 'not-found', 'decryption-error', 'silence'])
    .optional(),
  phoneResends: z.boolean().optional(),
});
const statusBody = z.strictObject({ from: z.string(), to: z.string(), ...saidInput.shape });
const newsletterBody = z.strictObject({
  to: z.string(),
  channel: z.string().regex(/^\d+$/),
  text: z.string(),
});
const expireBody = z.strictObject({
  /** Of a message that was written, or the path of a file. */
  file: z.string(),
  status: z.number().int().min(400).max(599).default(410),
});

const FAKE_ROUTES: readonly AdminRoute<Parts>[] = [
  { method: 'GET', path: 'faults', run: ({ world }) => world.faults.list() },
  {
    method: 'POST',
    path: 'faults',
    run: ({ world }, { body }) => world.faults.add(faultInput.parse(body)),
  },
  { method: 'DELETE', path: 'faults', run: ({ world }) => world.faults.clear() },
  {
    method: 'DELETE',
    path: 'faults/:id',
    run: ({ world }, { params }) => {
      if (!world.faults.remove(Number(params['id']))) throw new WorldError('no such fault');
    },
  },
  {
    method: 'GET',
    path: 'connections',
    run: ({ world }) => ({
      ...world.connections.counts(),
      list: world.connections.list().map(({ number, device, isActive, isSilent, openedAtMs }) => ({
        number,
        device: device?.jid,
        isActive,
        isSilent,
        openedAtMs,
      })),
    }),
  },
  {
    method: 'GET',
    path: 'stanzas',
    run: ({ world }, { query }) =>
      world.log.list(logQuery.parse(Object.fromEntries(query.entries()))),
  },
  { method: 'DELETE', path: 'stanzas', run: ({ world }) => world.log.clear() },
  { method: 'GET', path: 'errors', run: ({ world }) => world.errors() },
  { method: 'GET', path: 'settings', run: ({ world }) => world.settings },
  {
    method: 'PATCH',
    path: 'settings',
    run: ({ world }, { body }) => {
      const given = Object.entries(settingsBody.parse(body));
      Object.assign(
        world.settings,
        Object.fromEntries(given.filter(([, value]) => value !== undefined)),
      );
      return world.settings;
    },
  },
  {
    method: 'GET',
    path: 'groups',
    run: ({ world }) =>
      [...world.groups.values()].map(({ jid, subject, members }) => ({
        jid,
        subject,
        members: members.map(({ phone }) => phone),
      })),
  },
  {
    method: 'POST',
    path: 'groups',
    run: ({ world, acts }, { body }) => {
      const { members, ...about } = groupBody.parse(body);
      const people = members.map((phone) => world.person(phone));
      return { jid: acts.makeGroup({ ...about, members: people }).jid };
    },
  },
  {
    method: 'POST',
    path: 'statuses',
    run: async ({ world, acts }, { body }) => {
      const { from, to, ...said } = statusBody.parse(body);
      const who = { from: world.person(from), to: world.person(to) };
      const scene = { ...who, chat: 'status@broadcast' };
      return acts.writeStatus(who, await contentOfSaid(world, acts, { said, scene }));
    },
  },
  {
    method: 'POST',
    path: 'newsletters',
    run: ({ world, acts }, { body }) => {
      const { to, ...post } = newsletterBody.parse(body);
      return acts.writeNewsletter(world.person(to), post);
    },
  },
  {
    method: 'GET',
    path: 'files',
    run: ({ world }) =>
      world.files.list().map(({ bytes, ...file }) => ({ ...file, bytes: bytes.length })),
  },
  {
    method: 'POST',
    path: 'files/expire',
    run: ({ world, acts }, { body }) => {
      const { file, status } = expireBody.parse(body);
      const written = world.written(file);
      if (written) acts.expire(written.content, status);
      else world.files.expire(file, status);
    },
  },
  {
    method: 'GET',
    path: 'certificate',
    run: ({ world, certificatePath }) => ({ path: certificatePath, filesUrl: world.places.https }),
  },
  {
    method: 'POST',
    path: 'down',
    run: ({ goDownFor }, { body }) => {
      const { ms } = z.strictObject({ ms: z.number().min(0).max(3_600_000) }).parse(body);
      goDownFor(ms);
    },
  },
];

const ROUTES = [...FAKE_ROUTES, ...PEOPLE_ROUTES, ...DEVICE_ROUTES];
