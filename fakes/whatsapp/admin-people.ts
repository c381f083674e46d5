import { z } from 'zod';
import type { AdminRoute } from '../kommo/admin-route.ts';
import type { Parts } from './admin.ts';
import { contentOfSaid, saidInput } from './said.ts';
import { showCredentials, showDevice, showPerson, showReceived } from './shown.ts';
import { WorldError } from './world-error.ts';

/** People, what they write and what they get. */
const digits = z.string().regex(/^\d{5,20}$/);
const addressing = z.enum(['lid', 'lid-only', 'pn', 'pn-only']);
const afterMs = z.number().min(0).nullable();
const habits = z
  .strictObject({
    deliveredAfterMs: afterMs.default(0),
    readAfterMs: afterMs.default(null),
    playedAfterMs: afterMs.default(null),
  })
  .transform(({ deliveredAfterMs, readAfterMs, playedAfterMs }) => ({
    deliveredAfterMs: deliveredAfterMs ?? undefined,
    readAfterMs: readAfterMs ?? undefined,
    playedAfterMs: playedAfterMs ?? undefined,
  }));
const personInput = z.strictObject({
  phone: digits,
  lid: digits.optional(),
  name: z.string().optional(),
  addressing: addressing.optional(),
  isLidKnown: z.boolean().optional(),
  habits: habits.optional(),
});
const personPatch = z.strictObject({
  lid: digits.optional(),
  name: z.string().optional(),
  addressing: addressing.optional(),
  isLidKnown: z.boolean().optional(),
  habits: habits.optional(),
  failures: z.number().int().min(0).optional(),
});
const credentialsBody = z.strictObject({
  /** So many devices, each of a person of its own whose number follows the one before. Default one, of this person. */
  count: z.number().int().min(1).max(1_000).default(1),
});
const receivedQuery = z.object({
  id: z.string().optional(),
  from: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(20_000).default(1_000),
});
const fromTo = { from: digits, to: digits };
const moment = { id: z.string().optional(), atSeconds: z.number().int().optional() };
const messageBody = z.strictObject({
  from: digits,
  /** The account, or with `onPhone` who it is for; else `group`. */
  to: digits.optional(),
  group: z.string().optional(),
  onPhone: z.boolean().default(false),
  addressing: addressing.optional(),
  spoil: z.enum(['damaged', 'absent']).optional(),
  ...moment,
  ...saidInput.shape,
});
const typingBody = z.strictObject({
  ...fromTo,
  state: z.enum(['composing', 'recording', 'paused']),
});
const presenceBody = z.strictObject({
  ...fromTo,
  isOnline: z.boolean(),
  lastSeconds: z.number().int().optional(),
});
const callBody = z.strictObject({
  ...fromTo,
  ends: z.enum(['missed', 'accepted', 'rejected']),
  isVideo: z.boolean().default(false),
});

export const PEOPLE_ROUTES: readonly AdminRoute<Parts>[] = [
  { method: 'GET', path: 'people', run: ({ world }) => world.people().map(showPerson) },
  {
    method: 'POST',
    path: 'people',
    run: ({ acts }, { body }) => showPerson(acts.addPerson(personInput.parse(body))),
  },
  {
    method: 'GET',
    path: 'people/:phone',
    run: ({ world }, { params }) => showPerson(world.person(params['phone'] ?? '')),
  },
  {
    method: 'PATCH',
    path: 'people/:phone',
    run: ({ world }, { params, body }) => {
      const person = world.person(params['phone'] ?? '');
      const { lid, ...patch } = personPatch.parse(body);
      const given = Object.entries(patch).filter(([, value]) => value !== undefined);
      Object.assign(person, Object.fromEntries(given));
      if (lid !== undefined) world.changeLid(person, lid);
      return showPerson(person);
    },
  },
  {
    method: 'GET',
    path: 'people/:phone/received',
    run: ({ world }, { params, query }) => {
      const { id, from, limit } = receivedQuery.parse(Object.fromEntries(query.entries()));
      return world
        .person(params['phone'] ?? '')
        .received()
        .filter((each) => (id ?? each.id) === each.id && (from ?? each.from) === each.from)
        .slice(-limit)
        .map(showReceived);
    },
  },
  {
    method: 'POST',
    path: 'people/:phone/scan',
    run: ({ world, acts }, { params, body }) => {
      const { qr } = z.strictObject({ qr: z.string() }).parse(body);
      return showDevice(world, acts.scan(world.person(params['phone'] ?? ''), qr));
    },
  },
  {
    method: 'POST',
    path: 'people/:phone/code',
    run: async ({ world, acts }, { params, body }) => {
      const { code } = z.strictObject({ code: z.string() }).parse(body);
      await acts.typeCode(world.person(params['phone'] ?? ''), code);
    },
  },
  {
    method: 'POST',
    path: 'people/:phone/credentials',
    run: ({ world, acts }, { params, body }) => {
      const { count } = credentialsBody.parse(body);
      const isSigned = count === 1;
      const first = params['phone'] ?? '';
      return Array.from({ length: count }, (_, index) => {
        const phone = String(BigInt(first) + BigInt(index));
        const known = world.people().find((each) => each.phone === phone);
        const { device, creds } = acts.makeCredentials(known ?? acts.addPerson({ phone }), {
          isSigned,
        });
        return { device: device.jid, creds: showCredentials(creds) };
      });
    },
  },
  {
    method: 'POST',
    path: 'people/:phone/read',
    run: ({ world, acts }, { params, body }) => {
      const { of, ids } = z
        .strictObject({ of: digits, ids: z.array(z.string()).min(1) })
        .parse(body);
      acts.readOnPhone({ phone: world.person(params['phone'] ?? ''), of: world.person(of) }, ids);
    },
  },
  {
    method: 'POST',
    path: 'messages',
    run: (parts, { body }) => write(parts, messageBody.parse(body)),
  },
  {
    method: 'POST',
    path: 'typing',
    run: ({ world, acts }, { body }) => {
      const { from, to, state } = typingBody.parse(body);
      acts.type({ from: world.person(from), to: world.person(to) }, state);
    },
  },
  {
    method: 'POST',
    path: 'presence',
    run: ({ world, acts }, { body }) => {
      const { from, to, isOnline, lastSeconds } = presenceBody.parse(body);
      acts.appear({ from: world.person(from), to: world.person(to) }, isOnline, lastSeconds);
    },
  },
  {
    method: 'POST',
    path: 'calls',
    run: ({ world, acts }, { body }) => {
      const { from, to, ...how } = callBody.parse(body);
      return { id: acts.call({ from: world.person(from), to: world.person(to) }, how) };
    },
  },
];

async function write(
  { world, acts }: Parts,
  body: z.output<typeof messageBody>,
): Promise<{ id: string }> {
  const from = world.person(body.from);
  const { id, atSeconds, addressing: by, spoil } = body;
  const options = { id, atSeconds, addressing: by, spoil };
  const { what, viewOnce, ephemeral } = body;
  const said = { what, viewOnce, ephemeral };
  if (body.group !== undefined) {
    const group = world.group(body.group);
    const scene = { from, to: undefined, chat: group.jid };
    return acts.writeInGroup(
      { from, group },
      await contentOfSaid(world, acts, { said, scene }),
      options,
    );
  }
  if (body.to === undefined) throw new WorldError('to whom?');
  const to = world.person(body.to);
  const content = await contentOfSaid(world, acts, { said, scene: { from, to, chat: to.jid } });
  if (body.onPhone) return acts.writeOnPhone({ phone: from, to }, content, options);
  return acts.write({ from, to }, content, options);
}
