import { chats } from '../../domain/entities/chats.ts';
import { ClarinError } from '../../domain/errors.ts';
import { readMessages } from '../../platform/entity-sql/messages.ts';
import { inReach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { noteOfOutgoing } from '../../platform/whatsapp-notes.ts';
import {
  assertSendable,
  mustTarget,
  readPlace,
  refuse,
  usedElsewhere,
  type Place,
  type Sender,
} from './outgoing.ts';

/** A chat it goes to, with a clientId of its own: see Sender. */
export type Destination = {
  readonly chatId: number;
  readonly clientId?: string | undefined;
};

type Options = Omit<Sender, 'clientId'> & {
  messageId: number;
  /** Each chat and each clientId once. */
  to: readonly Destination[];
};

const FORWARDABLE = [
  'text',
  'image',
  'video',
  'audio',
  'document',
  'sticker',
  'location',
  'contact',
  'poll',
];

/**
 * A message is to be sent to other chats as well, to all of them or none. Gives the rows in the order of `to`, JSON
 * texts; four statements, however many chats. @throws ClarinError not_found (the message or one of the chats),
 * unprocessable, conflict.
 */
export async function forwardMessage(tx: Queries, options: Options): Promise<string[]> {
  const source = await readPlace(tx, options, { targetId: options.messageId });
  const places = await readDestinations(tx, options);
  const wanted = places.filter(({ earlierId }) => earlierId === undefined);
  const written = wanted.length === 0 ? new Map() : await copyMessage(tx, options, source, wanted);
  // Fewer than wanted: somebody else wrote the others between our look and our writing.
  const ends = written.size < wanted.length ? await readDestinations(tx, options) : places;
  const ids = ends.map(({ chatId, earlierId }) => written.get(chatId) ?? earlierId ?? 0);
  return readMessages(tx, { accountId: options.accountId, ids });
}

type PlaceOfCopy = Destination &
  Pick<Place, 'deviceId' | 'isBarred'> & {
    /** What its clientId made before. */
    readonly earlierId: number | undefined;
  };

async function readDestinations(tx: Queries, { to, ...sender }: Options): Promise<PlaceOfCopy[]> {
  const rows = await tx.query(sql`
    select chat.id, chat.device_id, contact.do_not_contact, earlier.id as earlier_id,
      earlier.chat_id as earlier_chat_id
    from unnest(${to.map(({ chatId }) => chatId)}::bigint[], ${to.map(({ clientId }) => clientId ?? null)}::text[])
      with ordinality as wanted (chat_id, client_id, place)
    join public.chats as chat on ${inReach(chats, 'chat', sender)} and chat.id = wanted.chat_id
    join public.contacts as contact on contact.account_id = chat.account_id and contact.id = chat.contact_id
    left join public.messages as earlier
      on earlier.account_id = chat.account_id and earlier.client_id = wanted.client_id
    order by wanted.place`);
  if (rows.length < to.length) throw new ClarinError('not_found', 'there is no such chat');
  return rows.map((row, index) => {
    const clientId = to[index]?.clientId;
    const isElsewhere = row['earlier_id'] !== null && row['earlier_chat_id'] !== row['id'];
    if (isElsewhere) throw usedElsewhere(clientId);
    return {
      chatId: Number(row['id']),
      clientId,
      deviceId: row['device_id'] ? Number(row['device_id']) : undefined,
      isBarred: row['do_not_contact'] === 't',
      earlierId: row['earlier_id'] ? Number(row['earlier_id']) : undefined,
    };
  });
}

/** Ids of the copies by the chats they are in. */
async function copyMessage(
  tx: Queries,
  { accountId, actorId }: Options,
  source: Place,
  places: readonly PlaceOfCopy[],
): Promise<Map<number, number>> {
  const { id, type } = mustTarget(source);
  if (!FORWARDABLE.includes(type)) refuse('not_forwardable');
  places.forEach(assertSendable);
  const columns = {
    chats: places.map(({ chatId }) => chatId),
    devices: places.map(({ deviceId }) => deviceId ?? null),
    clients: places.map(({ clientId }) => clientId ?? null),
  };
  const rows = await tx.query(sql`
    insert into public.messages (
      account_id, chat_id, device_id, message_type, body, media, media_id, poll, location,
      is_forwarded, is_from_me, status, client_id, actor_id
    )
    select source.account_id, wanted.chat_id, wanted.device_id, source.message_type, source.body, source.media,
      source.media_id, source.poll, source.location, true, true, 'pending', wanted.client_id, ${actorId}
    from unnest(${columns.chats}::bigint[], ${columns.devices}::bigint[], ${columns.clients}::text[])
      with ordinality as wanted (chat_id, device_id, client_id, place)
    cross join public.messages as source
    where source.account_id = ${accountId} and source.id = ${id}
    order by wanted.place
    on conflict (account_id, client_id) do nothing
    returning id, chat_id, ${noteOfOutgoing}`);
  return new Map(rows.map((row) => [Number(row['chat_id']), Number(row['id'])]));
}
