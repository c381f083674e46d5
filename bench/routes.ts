import { formatKeyset } from '../platform/entity-sql/keyset.ts';
import { FIRST_NAMES, LAST_NAMES, MIDDLES, PRODUCTS } from './data/words.ts';
import type { Caller, Random } from './traffic.ts';

export type Route = {
  readonly name: string;
  readonly weight: number;
  readonly ask: (
    who: Caller,
    random: Random,
  ) => { readonly method: string; readonly path: string; readonly body?: unknown };
};

type Values = Readonly<Record<string, string | number>>;
type Asked = Values | ((who: Caller, random: Random) => Values);

function list(name: string, weight: number, path: string, asked: Asked = {}): Route {
  return {
    name,
    weight,
    ask: (who, random) => {
      const values = typeof asked === 'function' ? asked(who, random) : asked;
      const texts = Object.entries(values).map(([key, value]) => [key, String(value)]);
      const query = new URLSearchParams(Object.fromEntries(texts) as Record<string, string>);
      return { method: 'GET', path: query.size > 0 ? `${path}?${query.toString()}` : path };
    },
  };
}

/** One of them, the first ones more often. @throws Error when there are none: the data lack something. */
function pick<T>(from: readonly T[], random: Random, power = 1): T {
  const one = from[Math.floor(random() ** power * from.length)];
  if (one === undefined) throw new Error('there is nothing to pick from');
  return one;
}

/** `count` letters from the beginning of a word. */
const begin = (words: readonly string[], random: Random, count: number): string =>
  pick(words, random).slice(0, count);

/** Whatever has the three characters that a trigram takes. */
const COMMON_WORDS = MIDDLES.flatMap((text) => text.split(' ')).filter((word) => word.length > 2);

export const READS: readonly Route[] = [
  list('leads', 8, '/api/leads'),
  list('leads of a stage', 5, '/api/leads', (who, random) => ({
    stage_id: pick(who.stageIds, random),
  })),
  list('leads of a member', 4, '/api/leads', (who, random) => ({
    assigned_to: pick(who.userIds, random, 2),
  })),
  list('leads with the tag nearly all have', 2, '/api/leads', (who) => ({
    tag_ids: pick(who.tagIds, () => 0),
  })),
  list('leads with a tag', 3, '/api/leads', (who, random) => ({
    tag_ids: pick(who.tagIds, random),
  })),
  list('leads with two tags', 1, '/api/leads', (who, random) => ({
    tag_ids: `${pick(who.tagIds, () => 0)},${pick(who.tagIds, random, 2)}`,
    tag_ids_match: 'all',
  })),
  list('leads sorted', 4, '/api/leads', (_, random) => ({
    sort: pick(['updated_at', 'title', 'value', 'position'], random),
    order: pick(['asc', 'desc'], random),
  })),
  list('leads, status and range', 2, '/api/leads', (_, random) => ({
    status: pick(['open', 'won', 'lost'], random),
    created_from: `2026-0${1 + Math.floor(random() * 9)}-01`,
  })),
  list('leads page 3', 2, '/api/leads', { page: 3 }),
  list('leads by cursor', 3, '/api/leads', (who, random) => {
    const { id, createdAt } = pick(who.leads, random);
    const by = { of: 'leads', sort: 'created_at', order: 'desc' } as const;
    return { cursor: formatKeyset(by, { value: createdAt, id }) };
  }),
  list('leads, search a name', 3, '/api/leads', (_, random) => ({
    search: pick(random() < 0.5 ? LAST_NAMES : FIRST_NAMES, random),
  })),
  list('leads, search 2 letters', 1, '/api/leads', (_, random) => ({
    search: begin(LAST_NAMES, random, 2),
  })),
  list('leads, search a product', 1, '/api/leads', (_, random) => ({
    search: pick(PRODUCTS, random),
  })),
  list('board', 8, '/api/leads/board', (who, random) => ({
    pipeline_id: pick(who.pipelineIds, random, 2),
  })),
  list('contacts', 5, '/api/contacts'),
  list('contacts by name', 2, '/api/contacts', { sort: 'display_name', order: 'asc' }),
  list('contacts with a tag', 2, '/api/contacts', (who, random) => ({
    tag_ids: pick(who.tagIds, random, 2),
  })),
  list('contacts of a device', 1, '/api/contacts', (who, random) => ({
    device_id: pick(who.deviceIds, random),
  })),
  list('contacts with a phone', 1, '/api/contacts', { has_phone: 'true' }),
  list('contacts, search 2 letters', 1, '/api/contacts', (_, random) => ({
    search: begin(LAST_NAMES, random, 2),
  })),
  list('contacts, search 3 or 4 letters', 3, '/api/contacts', (_, random) => ({
    search: begin(LAST_NAMES, random, 3 + Math.floor(random() * 2)),
  })),
  list('contacts, search first and last name', 3, '/api/contacts', (_, random) => ({
    search: `${pick(FIRST_NAMES, random)} ${pick(LAST_NAMES, random)}`,
  })),
  list('contacts, search part of a phone', 3, '/api/contacts', (who, random) => ({
    search: pick(who.phoneParts, random),
  })),
  list('chats', 12, '/api/chats', { archived: 'false' }),
  list('chats unread', 5, '/api/chats', { unread: 'true' }),
  list('chats of a device', 4, '/api/chats', (who, random) => ({
    device_id: pick(who.deviceIds, random),
    archived: 'false',
  })),
  list('chats with a tag', 1, '/api/chats', (who, random) => ({
    tag_ids: pick(who.tagIds.slice(0, 20), random, 2),
  })),
  list('chats, search a name', 2, '/api/chats', (_, random) => ({
    search: pick(random() < 0.5 ? LAST_NAMES : FIRST_NAMES, random),
  })),
  one(
    'messages of a chat',
    12,
    (who, random) => `/api/chats/${pick(who.chatIds, random, 2)}/messages`,
  ),
  one('messages around a point', 2, (who, random) => {
    const { id, chatId } = pick(who.messages, random);
    return `/api/chats/${chatId}/messages?around=${id}`;
  }),
  list('messages, search a common word', 1, '/api/messages', (_, random) => ({
    search: pick(COMMON_WORDS, random),
  })),
  list('messages, search a phrase', 1, '/api/messages', (_, random) => ({
    search: pick(MIDDLES, random),
  })),
  list('messages, search a number', 1, '/api/messages', (_, random) => ({
    search: String(10_000 + Math.floor(random() * 90_000)),
  })),
  list('messages, search 2 letters in a chat', 0.5, '/api/messages', (who, random) => ({
    search: begin(MIDDLES, random, 2),
    chat_id: pick(who.chatIds, random, 2),
  })),
  one('a lead', 8, (who, random) => `/api/leads/${pick(who.leads, random, 2).id}`),
  one('a contact', 6, (who, random) => `/api/contacts/${pick(who.contactIds, random, 2)}`),
  one('a chat', 4, (who, random) => `/api/chats/${pick(who.chatIds, random, 2)}`),
  list('interactions', 1, '/api/interactions'),
  list('interactions of a contact', 2, '/api/interactions', (who, random) => ({
    contact_id: pick(who.contactIds, random),
  })),
  one(
    'timeline of a contact',
    2,
    (who, random) => `/api/contacts/${pick(who.contactIds, random)}/timeline`,
  ),
  list('stats', 1, '/api/stats'),
  list('counts of the stages', 2, '/api/pipelines/counts'),
  list('campaigns', 1, '/api/campaigns'),
  list('quick replies', 1, '/api/quick_replies'),
  list('tags', 3, '/api/tags'),
  list('pipelines', 3, '/api/pipelines'),
];

function one(name: string, weight: number, path: (who: Caller, random: Random) => string): Route {
  return { name, weight, ask: (who, random) => ({ method: 'GET', path: path(who, random) }) };
}

/** With which the names of writes begin, and no others. */
export const WRITE_PREFIX = 'write: ';

export const WRITES: readonly Route[] = [
  {
    name: `${WRITE_PREFIX}change a lead`,
    weight: 4,
    ask: (who, random) => ({
      method: 'PATCH',
      path: `/api/leads/${pick(who.leads, random).id}`,
      body: { value: Math.floor(random() * 10_000) },
    }),
  },
  {
    name: `${WRITE_PREFIX}move a lead`,
    weight: 3,
    ask: (who, random) => ({
      method: 'POST',
      path: `/api/leads/${pick(who.leads, random).id}/stage`,
      body: { stage_id: pick(who.stageIds, random) },
    }),
  },
  {
    name: `${WRITE_PREFIX}create a contact`,
    weight: 1,
    ask: (_, random) => ({
      method: 'POST',
      path: '/api/contacts',
      body: { name: `${pick(FIRST_NAMES, random)} ${pick(LAST_NAMES, random)}` },
    }),
  },
  {
    name: `${WRITE_PREFIX}send a message`,
    weight: 3,
    ask: (who, random) => ({
      method: 'POST',
      path: `/api/chats/${pick(who.sendableChatIds, random)}/messages`,
      body: { kind: 'text', body: pick(MIDDLES, random) },
    }),
  },
];
