import { z } from 'zod';
import type { AdminRoute } from '../kommo/admin-route.ts';
import type { Parts } from './admin.ts';
import { fatalInput } from './faults.ts';
import type { HistoryMessage } from './history.ts';
import { contentOfSaid, saidInput } from './said.ts';
import { showDevice } from './shown.ts';

/** Linked devices: what is on its way to them, what they said, and how they are cut off. */
const stanzaQuery = z.object({
  class: z.enum(['message', 'receipt', 'notification', 'call']).optional(),
  id: z.string().optional(),
  isSettled: z.stringbool().optional(),
});
const receiptBody = z.strictObject({
  person: z.string(),
  id: z.string(),
  type: z.enum(['delivered', 'read', 'played', 'retry', 'read-self', 'sender']),
  chat: z.string().optional(),
});
const historyMessage = z.strictObject({
  id: z.string().optional(),
  isOwn: z.boolean().default(false),
  atSeconds: z.number().int(),
  status: z.number().int().optional(),
  ...saidInput.shape,
});
const historyBody = z.strictObject({
  type: z.enum(['initial', 'recent', 'full', 'push-names', 'on-demand']).optional(),
  conversations: z
    .array(
      z.strictObject({
        with: z.string(),
        name: z.string().optional(),
        unread: z.number().int().min(0).optional(),
        messages: z.array(historyMessage).default([]),
        /** So many texts besides, one a minute, the newest now. */
        generate: z.number().int().min(0).max(100_000).default(0),
      }),
    )
    .default([]),
  names: z.array(z.string()).default([]),
  progress: z.number().int().min(0).max(100).optional(),
  chunk: z.number().int().min(0).optional(),
  hasMappings: z.boolean().optional(),
  as: z.enum(['inline', 'file']).optional(),
});
type Conversation = z.output<typeof historyBody>['conversations'][number];

export const DEVICE_ROUTES: readonly AdminRoute<Parts>[] = [
  {
    method: 'GET',
    path: 'devices',
    run: ({ world }) => world.devices().map((device) => showDevice(world, device)),
  },
  {
    method: 'GET',
    path: 'devices/:jid',
    run: ({ world }, { params }) => showDevice(world, world.device(params['jid'] ?? '')),
  },
  {
    method: 'DELETE',
    path: 'devices/:jid',
    run: ({ world, acts }, { params }) => acts.removeDevice(world.device(params['jid'] ?? '')),
  },
  {
    method: 'GET',
    path: 'devices/:jid/stanzas',
    run: ({ world }, { params, query }) => {
      const asked = stanzaQuery.parse(Object.fromEntries(query.entries()));
      return world
        .device(params['jid'] ?? '')
        .queue.list()
        .filter(
          (each) =>
            (asked.class ?? each.class) === each.class &&
            (asked.id ?? each.id) === each.id &&
            (asked.isSettled === undefined || asked.isSettled === (each.settled !== undefined)),
        );
    },
  },
  {
    method: 'GET',
    path: 'devices/:jid/receipts',
    run: ({ world }, { params, query }) => {
      const id = query.get('id');
      const receipts = world.device(params['jid'] ?? '').receipts();
      return receipts.filter((each) => id === null || each.id === id);
    },
  },
  {
    method: 'POST',
    path: 'devices/:jid/receipts',
    run: ({ world, acts }, { params, body }) => {
      const { person, chat, ...receipt } = receiptBody.parse(body);
      acts.receipt(world.device(params['jid'] ?? ''), {
        ...receipt,
        person: world.person(person),
        ...(chat !== undefined && { chat }),
      });
    },
  },
  {
    method: 'POST',
    path: 'devices/:jid/break',
    run: ({ world, acts }, { params, body }) =>
      acts.breakOff(world.device(params['jid'] ?? ''), fatalInput.parse(body)),
  },
  {
    method: 'POST',
    path: 'devices/:jid/history',
    run: async (parts, { params, body }) => {
      const { world, acts } = parts;
      const device = world.device(params['jid'] ?? '');
      const { conversations, names, ...chunk } = historyBody.parse(body);
      return acts.sendHistory(device, {
        ...chunk,
        names: names.map((phone) => world.person(phone)),
        conversations: await Promise.all(
          conversations.map(async (each) => ({
            with: world.person(each.with),
            ...(each.name !== undefined && { name: each.name }),
            ...(each.unread !== undefined && { unread: each.unread }),
            messages: [...(await messagesOf(parts, each)), ...generated(each.generate)],
          })),
        ),
      });
    },
  },
];

function messagesOf({ world, acts }: Parts, { with: phone, messages }: Conversation) {
  const other = world.person(phone);
  return Promise.all(
    messages.map(async ({ id, isOwn, atSeconds, status, ...said }): Promise<HistoryMessage> => {
      const scene = { from: other, to: undefined, chat: other.jid };
      return {
        content: await contentOfSaid(world, acts, { said, scene }),
        isOwn,
        atSeconds,
        ...(id !== undefined && { id }),
        ...(status !== undefined && { status }),
      };
    }),
  );
}

function generated(count: number): HistoryMessage[] {
  const now = Math.floor(Date.now() / 1_000);
  return Array.from({ length: count }, (_, index) => ({
    content: `mensaje ${count - index}`,
    isOwn: index % 3 === 0,
    atSeconds: now - index * 60,
  }));
}
