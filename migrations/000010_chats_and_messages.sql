-- Not breaking. Locks: none but on what it makes.
-- Conversations. Previews, counters, statuses, reactions, edits and revocations are kept by triggers: whoever writes a
-- message, the chat is right.

-- A file: stored, or still to be fetched. Its bytes are in the media store, under a key nobody outside sees.
create table public.media (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  -- The device it came by; null for uploads. No foreign key: a file outlives its device, as messages do.
  device_id bigint,
  object_key text not null check (char_length(object_key) <= 200),
  mimetype text not null check (char_length(mimetype) between 1 and 200),
  filename text check (char_length(filename) <= 255),
  size integer not null default 0 check (size >= 0),
  sha256 text check (sha256 ~ '^[0-9a-f]{64}$'),
  state text not null default 'pending' check (state in ('pending', 'stored', 'failed')),
  created_by bigint references public.users on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint media_identity unique (account_id, id),
  constraint media_object_key unique (object_key)
);
create index media_created_at on public.media (account_id, created_at, id);
create index media_mimetype on public.media (account_id, mimetype);
create index media_state on public.media (account_id, state);
create index media_created_by on public.media (created_by) where created_by is not null;
select clarin.guard_table('public.media', '{device_id}');

-- Objects whose row is gone; a worker removes them from the store.
create table private.media_removals (
  id bigint generated always as identity primary key,
  account_id bigint not null,
  object_key text not null,
  created_at timestamptz not null default now()
);
create function clarin.remove_media_object() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into private.media_removals (account_id, object_key) values (old.account_id, old.object_key);
  return null;
end $$;
create trigger remove_object after delete on public.media
  for each row execute function clarin.remove_media_object();
alter table public.media enable always trigger remove_object;

create table public.chats (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  -- Null when the device was deleted: the conversation stays.
  device_id bigint,
  contact_id bigint not null,
  jid text not null check (char_length(jid) between 1 and 128),
  name text check (char_length(name) <= 200),
  last_message_id bigint,
  last_message text check (char_length(last_message) <= 200),
  last_message_type text,
  last_message_is_from_me boolean,
  last_message_at timestamptz,
  last_inbound_at timestamptz,
  -- Inbound messages up to here are read.
  last_read_at timestamptz,
  unread_count integer not null default 0 check (unread_count >= 0),
  -- Something unread in it, or marked so by hand.
  is_unread boolean not null default false,
  is_archived boolean not null default false,
  is_pinned boolean not null default false,
  muted_until timestamptz,
  -- Its last message, or its beginning: what an inbox is sorted by.
  active_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint chats_identity unique (account_id, id),
  constraint chats_jid unique (account_id, device_id, jid),
  constraint chats_device foreign key (account_id, device_id)
    references public.devices (account_id, id) on delete set null (device_id),
  constraint chats_contact foreign key (account_id, contact_id) references public.contacts (account_id, id)
);
create index chats_active_at on public.chats (account_id, active_at, id);
create index chats_created_at on public.chats (account_id, created_at, id);
create index chats_contact_id on public.chats (account_id, contact_id);
create index chats_device_id on public.chats (account_id, device_id, active_at, id);
create index chats_inbox on public.chats (account_id, active_at, id) where not is_archived;
create index chats_is_archived on public.chats (account_id, is_archived, active_at, id) where is_archived;
create index chats_is_pinned on public.chats (account_id, is_pinned, active_at, id) where is_pinned;
create index chats_is_unread on public.chats (account_id, is_unread, active_at, id) where is_unread;
select clarin.guard_table('public.chats', '{device_id,contact_id}');

create table public.messages (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  chat_id bigint not null,
  -- Of the chat; no foreign key, so that deleting a device does not rewrite its history.
  device_id bigint,
  -- The stanza's id: WhatsApp's, or our own, written before it is sent, so that sending twice is one message.
  message_id text not null default '3EB0' || upper(left(replace(gen_random_uuid()::text, '-', ''), 18))
    check (char_length(message_id) between 1 and 128),
  from_jid text check (char_length(from_jid) <= 128),
  from_name text check (char_length(from_name) <= 200),
  body text check (char_length(body) <= 65536),
  message_type text not null default 'text' check (message_type in (
    'text', 'image', 'video', 'audio', 'document', 'sticker', 'location', 'contact', 'poll', 'system', 'unknown',
    'reaction', 'edit', 'revoke'
  )),
  media jsonb check (clarin.is_small_object(media)),
  media_id bigint,
  is_from_me boolean not null default false,
  status text not null check (status in (
    'pending', 'sending', 'failed', 'sent', 'delivered', 'received', 'read', 'played'
  )),
  status_at timestamptz,
  error text check (char_length(error) <= 500),
  sent_at timestamptz not null default now(),
  edited_at timestamptz,
  revoked_at timestamptz,
  quoted_message_id text check (char_length(quoted_message_id) <= 128),
  quoted_from_jid text check (char_length(quoted_from_jid) <= 128),
  quoted_body text check (char_length(quoted_body) <= 1000),
  -- The stanza that a reaction, an edit or a revocation is about. Such a row waits here when it comes before it.
  target_message_id text check (char_length(target_message_id) <= 128),
  poll jsonb check (clarin.is_small_object(poll)),
  location jsonb check (clarin.is_small_object(location)),
  is_forwarded boolean not null default false,
  client_id text check (char_length(client_id) between 1 and 128),
  actor_id bigint references public.users on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  -- The chat is part of it, so that a delete says which conversation it left.
  constraint messages_identity unique (account_id, id, chat_id),
  constraint messages_message_id unique (account_id, chat_id, message_id),
  constraint messages_client_id unique (account_id, client_id),
  constraint messages_chat foreign key (account_id, chat_id)
    references public.chats (account_id, id) on delete cascade,
  constraint messages_media foreign key (account_id, media_id)
    references public.media (account_id, id) on delete set null (media_id),
  constraint messages_direction check (is_from_me or status in ('received', 'read', 'played')),
  constraint messages_target check (
    (target_message_id is not null) = (message_type in ('reaction', 'edit', 'revoke'))
  )
);
-- The conversation, newest first; and the same of the whole account.
create index messages_chat_page on public.messages (account_id, chat_id, sent_at, id) where target_message_id is null;
create index messages_sent_at on public.messages (account_id, sent_at, id);
-- Parked reactions, edits and revocations find their message.
create index messages_target_message_id on public.messages (account_id, chat_id, target_message_id)
  where target_message_id is not null;
create index messages_outbox on public.messages (account_id, device_id, id) where status = 'pending';
create index messages_media_id on public.messages (account_id, media_id) where media_id is not null;
create index messages_actor_id on public.messages (actor_id) where actor_id is not null;
select clarin.guard_table('public.messages', '{chat_id,device_id}');

-- How far a message is; it never goes back. What failed may still turn out to have been sent.
create function clarin.message_rank(status text) returns integer
language sql immutable parallel safe as $$
  select array_position('{pending,sending,failed,sent,received,delivered,read,played}'::text[], status)
$$;

create function clarin.derive_message() returns trigger
language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    new.status := coalesce(new.status, case when new.is_from_me then 'pending' else 'received' end);
    new.status_at := coalesce(new.status_at, new.sent_at);
    if new.device_id is null then
      select device_id into new.device_id from public.chats where account_id = new.account_id and id = new.chat_id;
    end if;
    return new;
  end if;
  if new.chat_id <> old.chat_id and new.device_id is not distinct from old.device_id then
    select device_id into new.device_id from public.chats where account_id = new.account_id and id = new.chat_id;
  end if;
  if clarin.message_rank(new.status) < clarin.message_rank(old.status) then
    new.status := old.status;
    new.status_at := old.status_at;
    new.error := old.error;
    -- Receipts come in any order: one that says nothing new is not even written.
    if new *= old then
      return null;
    end if;
  elsif new.status <> old.status then
    if new.status_at is not distinct from old.status_at then
      new.status_at := clock_timestamp();
    end if;
    if new.status <> 'failed' and new.error is not distinct from old.error then
      new.error := null;
    end if;
  end if;
  return new;
end $$;
create trigger derive before insert or update on public.messages
  for each row execute function clarin.derive_message();
alter table public.messages enable always trigger derive;

create function clarin.derive_chat() returns trigger
language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    if new.last_read_at is distinct from old.last_read_at then
      new.last_read_at := greatest(old.last_read_at, new.last_read_at);
      select count(*) into new.unread_count
      from public.messages
      where account_id = new.account_id and chat_id = new.id and target_message_id is null
        and sent_at > new.last_read_at and not is_from_me and status = 'received';
      new.is_unread := new.unread_count > 0;
    elsif new.unread_count <> old.unread_count then
      new.is_unread := new.unread_count > 0;
    elsif new.unread_count > 0 then
      -- A mark made by hand may be taken back; what is unread is read by moving last_read_at.
      new.is_unread := true;
    end if;
  end if;
  new.active_at := coalesce(new.last_message_at, new.created_at);
  return new;
end $$;
create trigger derive before insert or update on public.chats
  for each row execute function clarin.derive_chat();
alter table public.chats enable always trigger derive;

-- A contact with a chat on a device is known to it.
create function clarin.note_contact_device() returns trigger
language plpgsql as $$
begin
  insert into public.contact_device_names (account_id, contact_id, device_id)
  values (new.account_id, new.contact_id, new.device_id)
  on conflict (account_id, contact_id, device_id) do nothing;
  return null;
end $$;
create trigger note_device after insert on public.chats
  for each row when (new.device_id is not null) execute function clarin.note_contact_device();
create trigger note_device_changed after update on public.chats
  for each row when (
    new.device_id is not null
    and (old.contact_id, old.device_id) is distinct from (new.contact_id, new.device_id)
  ) execute function clarin.note_contact_device();
alter table public.chats enable always trigger note_device;
alter table public.chats enable always trigger note_device_changed;

-- The newest message that is one, and how many are unread: said anew, for chats that lost or changed a message.
create function clarin.recount_chats(account bigint, chat_ids bigint[]) returns void
language sql as $$
  update public.chats as chat
  set last_message_id = newest.id, last_message = newest.preview, last_message_type = newest.message_type,
    last_message_is_from_me = newest.is_from_me, last_message_at = newest.sent_at,
    unread_count = unread.total
  from unnest(chat_ids) as wanted (id)
  left join lateral (
    select message.id, left(message.body, 200) as preview, message.message_type, message.is_from_me, message.sent_at
    from public.messages as message
    where message.account_id = account and message.chat_id = wanted.id and message.target_message_id is null
    order by message.sent_at desc, message.id desc
    limit 1
  ) as newest on true
  cross join lateral (
    select count(*) as total
    from public.messages as message
    join public.chats as read on read.account_id = account and read.id = wanted.id
    where message.account_id = account and message.chat_id = wanted.id and message.target_message_id is null
      and message.sent_at > coalesce(read.last_read_at, '-infinity')
      and not message.is_from_me and message.status = 'received'
  ) as unread
  where chat.account_id = account and chat.id = wanted.id
    and (chat.last_message_id, chat.last_message, chat.last_message_type, chat.last_message_is_from_me,
        chat.last_message_at, chat.unread_count)
      is distinct from (newest.id, newest.preview, newest.message_type, newest.is_from_me, newest.sent_at,
        unread.total::integer)
$$;

-- Locked in the order of their ids before they are compared: two writers neither deadlock nor miss each other.
create function clarin.lock_chats(account bigint, chat_ids bigint[]) returns void
language plpgsql as $$
begin
  perform 1 from public.chats where account_id = account and id = any (chat_ids) order by id for no key update;
end $$;

-- What a reaction, an edit or a revocation does, once it was received or really sent. `actions` are ids of such rows;
-- those whose message is not there yet do nothing now and are found again when it comes.
create function clarin.apply_message_actions(account bigint, actions bigint[]) returns void
language plpgsql as $$
declare
  files bigint[];
begin
  -- An older reaction never wins; of one second, the later to come does. One without an emoji was taken back, and stays
  -- as the mark of when.
  insert into public.message_reactions (account_id, target_id, chat_id, device_id, sender_jid, emoji, reacted_at)
  select distinct on (target.id, sender.jid)
    account, target.id, target.chat_id, target.device_id, sender.jid, nullif(action.body, ''), action.sent_at
  from public.messages as action
  join public.messages as target
    on target.account_id = account and target.chat_id = action.chat_id and target.message_id = action.target_message_id
  -- One of ours is ours whether it was sent from here or from the phone.
  cross join lateral (select case when action.is_from_me then 'me' else coalesce(action.from_jid, '') end as jid) as sender
  where action.account_id = account and action.id = any (actions) and action.message_type = 'reaction'
  order by target.id, sender.jid, action.sent_at desc, action.id desc
  on conflict (account_id, target_id, sender_jid) do update
  set emoji = excluded.emoji, reacted_at = excluded.reacted_at
  where message_reactions.reacted_at <= excluded.reacted_at
    and (message_reactions.emoji, message_reactions.reacted_at) is distinct from (excluded.emoji, excluded.reacted_at);

  -- Only whoever wrote it may edit it.
  update public.messages as target
  set body = newest.body, edited_at = newest.sent_at
  from (
    select distinct on (action.chat_id, action.target_message_id)
      action.chat_id, action.target_message_id, action.body, action.sent_at, author.id as author_id
    from public.messages as action
    join public.messages as author
      on author.account_id = account and author.chat_id = action.chat_id and author.message_id = action.target_message_id
      and author.is_from_me = action.is_from_me
    join public.chats as chat on chat.account_id = account and chat.id = action.chat_id
    where action.account_id = account and action.id = any (actions) and action.message_type = 'edit'
      and (action.is_from_me or chat.jid not like '%@g.us' or author.from_jid is not distinct from action.from_jid)
    order by action.chat_id, action.target_message_id, action.sent_at desc, action.id desc
  ) as newest
  where target.account_id = account and target.id = newest.author_id
    and target.target_message_id is null and target.revoked_at is null
    and newest.sent_at >= coalesce(target.edited_at, '-infinity')
    and (target.body, target.edited_at) is distinct from (newest.body, newest.sent_at);

  -- What was taken back is not kept. In a group its administrators may take back what others wrote.
  with taken as materialized (
    select distinct on (target.id) target.id, target.media_id, action.sent_at
    from public.messages as action
    join public.messages as target
      on target.account_id = account and target.chat_id = action.chat_id and target.message_id = action.target_message_id
      and target.target_message_id is null and target.revoked_at is null
    join public.chats as chat on chat.account_id = account and chat.id = action.chat_id
    where action.account_id = account and action.id = any (actions) and action.message_type = 'revoke'
      and (target.is_from_me = action.is_from_me or chat.jid like '%@g.us')
    order by target.id, action.sent_at
  ), emptied as (
    update public.messages as target
    set revoked_at = taken.sent_at, body = null, media = null, media_id = null, poll = null, location = null
    from taken
    where target.account_id = account and target.id = taken.id
    returning taken.media_id
  )
  select array_agg(media_id) into files from emptied where media_id is not null;
  if files is not null then
    -- Its file neither, if it came by a device and is shown nowhere else.
    delete from public.media as file
    where file.account_id = account and file.id = any (files) and file.device_id is not null and file.created_by is null
      and not exists (select from public.messages where account_id = account and media_id = file.id)
      and not exists (select from public.quick_replies where account_id = account and media_id = file.id)
      and not exists (select from public.campaigns where account_id = account and media_id = file.id);
  end if;
end $$;

-- True for a reaction, an edit or a revocation that counts: received, or sent and not only wanted.
create function clarin.is_done(status text) returns boolean
language sql immutable parallel safe as $$
  select clarin.message_rank(status) >= clarin.message_rank('sent')
$$;

-- One update per chat and statement, however many messages came. An older message never replaces a newer preview.
-- Planned anew each time: a plan made while the table was nearly empty would read all of it for each row that comes.
create function clarin.count_messages_in() returns trigger
language plpgsql set plan_cache_mode = 'force_custom_plan' as $$
declare
  account bigint;
  actions bigint[];
begin
  for account in select distinct account_id from added loop
    perform clarin.lock_chats(account, array(select distinct chat_id from added where account_id = account));
    update public.chats as chat
    set last_message_id = shown.id, last_message = shown.preview, last_message_type = shown.message_type,
      last_message_is_from_me = shown.is_from_me, last_message_at = shown.sent_at,
      last_inbound_at = greatest(chat.last_inbound_at, arrived.inbound_at),
      unread_count = chat.unread_count + arrived.unread
    from (
      select known.id as chat_id,
        max(message.sent_at) filter (
          where not message.is_from_me and message.message_type <> 'system'
        ) as inbound_at,
        count(*) filter (
          where not message.is_from_me and message.status = 'received'
            and message.sent_at > coalesce(known.last_read_at, '-infinity')
        )::integer as unread
      from added as message
      join public.chats as known on known.account_id = account and known.id = message.chat_id
      where message.account_id = account and message.target_message_id is null
      group by known.id
    ) as arrived
    join (
      select distinct on (message.chat_id) message.chat_id, message.id, left(message.body, 200) as preview,
        message.message_type, message.is_from_me, message.sent_at
      from added as message
      where message.account_id = account and message.target_message_id is null
      order by message.chat_id, message.sent_at desc, message.id desc
    ) as newest on newest.chat_id = arrived.chat_id
    cross join lateral (
      select newest.id, newest.preview, newest.message_type, newest.is_from_me, newest.sent_at
      union all
      select before.last_message_id, before.last_message, before.last_message_type, before.last_message_is_from_me,
        before.last_message_at
      from public.chats as before
      where before.account_id = account and before.id = arrived.chat_id and before.last_message_id is not null
      order by sent_at desc, id desc
      limit 1
    ) as shown
    where chat.account_id = account and chat.id = arrived.chat_id
      and (
        chat.last_message_id is distinct from shown.id or arrived.unread > 0
        or chat.last_inbound_at is distinct from greatest(chat.last_inbound_at, arrived.inbound_at)
      );
    -- Those that came, and those that waited here for what came.
    actions := array(
      select message.id from added as message
      where message.account_id = account and message.target_message_id is not null and clarin.is_done(message.status)
      union
      select parked.id
      from added as message
      join public.messages as parked
        on parked.account_id = account and parked.chat_id = message.chat_id
        and parked.target_message_id = message.message_id
      where message.account_id = account and message.target_message_id is null and clarin.is_done(parked.status)
    );
    if cardinality(actions) > 0 then
      perform clarin.apply_message_actions(account, actions);
    end if;
  end loop;
  return null;
end $$;
create trigger count_in after insert on public.messages
  referencing new table as added
  for each statement execute function clarin.count_messages_in();
alter table public.messages enable always trigger count_in;

create function clarin.count_messages_out() returns trigger
language plpgsql as $$
declare
  account bigint;
  chat_ids bigint[];
begin
  for account in select distinct account_id from removed loop
    chat_ids := array(
      select chat.id
      from public.chats as chat
      where chat.account_id = account and chat.id in (
        select chat_id from removed where account_id = account and target_message_id is null
      )
    );
    if cardinality(chat_ids) > 0 then
      perform clarin.lock_chats(account, chat_ids);
      perform clarin.recount_chats(account, chat_ids);
    end if;
  end loop;
  return null;
end $$;
create trigger count_out after delete on public.messages
  referencing old table as removed
  for each statement execute function clarin.count_messages_out();
alter table public.messages enable always trigger count_out;

-- Nothing was said in any chat any more.
create function clarin.forget_messages() returns trigger
language plpgsql as $$
begin
  update public.chats
  set last_message_id = null, last_message = null, last_message_type = null, last_message_is_from_me = null,
    last_message_at = null, last_inbound_at = null, unread_count = 0
  where last_message_id is not null or unread_count > 0 or last_inbound_at is not null;
  return null;
end $$;
create trigger forget after truncate on public.messages
  for each statement execute function clarin.forget_messages();
alter table public.messages enable always trigger forget;

-- An action of ours counts when it was sent.
create function clarin.act_on_message() returns trigger
language plpgsql as $$
begin
  -- The chat first, as whoever adds a message has it: two who change one message do not wait for each other.
  perform clarin.lock_chats(new.account_id, array[new.chat_id]);
  perform clarin.apply_message_actions(new.account_id, array[new.id]);
  return null;
end $$;
create trigger act after update on public.messages
  for each row when (
    new.target_message_id is not null and clarin.is_done(new.status)
    and (not clarin.is_done(old.status) or old.target_message_id is distinct from new.target_message_id)
  ) execute function clarin.act_on_message();
alter table public.messages enable always trigger act;

-- An edit or a revocation of the newest message shows in its chat, and so does one that went elsewhere: one update per
-- chat and statement here too.
create function clarin.refresh_chats() returns trigger
language plpgsql as $$
declare
  account bigint;
  chat_ids bigint[];
begin
  for account, chat_ids in
    select changed.account_id, array_agg(distinct chat.id)
    from changed
    join former on former.account_id = changed.account_id and former.id = changed.id
    cross join lateral (values (former.chat_id), (changed.chat_id)) as chat (id)
    where (former.target_message_id is null or changed.target_message_id is null) and (
      (former.body, former.message_type, former.sent_at, former.chat_id, former.is_from_me, former.target_message_id)
        is distinct from (
          changed.body, changed.message_type, changed.sent_at, changed.chat_id, changed.is_from_me,
          changed.target_message_id
        )
      or (not changed.is_from_me and (former.status = 'received') <> (changed.status = 'received'))
    )
    group by changed.account_id
  loop
    perform clarin.lock_chats(account, chat_ids);
    perform clarin.recount_chats(account, chat_ids);
  end loop;
  return null;
end $$;
create trigger refresh_chats after update on public.messages
  referencing old table as former new table as changed
  for each statement execute function clarin.refresh_chats();
alter table public.messages enable always trigger refresh_chats;

-- What a message says of its file, as soon as that is stored, or is known to be lost.
create function clarin.carry_media() returns trigger
language plpgsql as $$
begin
  update public.messages
  set media = coalesce(media, '{}') || jsonb_strip_nulls(jsonb_build_object(
    'mimetype', new.mimetype, 'filename', new.filename, 'size', new.size, 'state', new.state
  ))
  where account_id = new.account_id and media_id = new.id;
  return null;
end $$;
create trigger carry_media after update on public.media
  for each row when (
    (old.mimetype, old.filename, old.size, old.state) is distinct from (new.mimetype, new.filename, new.size, new.state)
  ) execute function clarin.carry_media();
alter table public.media enable always trigger carry_media;

create table public.message_reactions (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  target_id bigint not null,
  chat_id bigint not null,
  device_id bigint,
  sender_jid text not null check (char_length(sender_jid) <= 128),
  -- Null: taken back.
  emoji text check (char_length(emoji) between 1 and 64),
  reacted_at timestamptz not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint message_reactions_identity unique (account_id, id, chat_id),
  constraint message_reactions_sender unique (account_id, target_id, sender_jid),
  constraint message_reactions_target foreign key (account_id, target_id, chat_id)
    references public.messages (account_id, id, chat_id) on delete cascade on update cascade
);
create index message_reactions_target_id on public.message_reactions (account_id, target_id, chat_id);
select clarin.guard_table('public.message_reactions', '{chat_id,device_id}');

create table public.poll_votes (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  target_id bigint not null,
  chat_id bigint not null,
  device_id bigint,
  voter_jid text not null check (char_length(voter_jid) between 1 and 128),
  -- Names of the options chosen; empty: the vote was taken back.
  options text[] not null default '{}' check (cardinality(options) <= 20 and coalesce(array_ndims(options), 1) = 1),
  voted_at timestamptz not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint poll_votes_identity unique (account_id, id, chat_id),
  constraint poll_votes_voter unique (account_id, target_id, voter_jid),
  constraint poll_votes_target foreign key (account_id, target_id, chat_id)
    references public.messages (account_id, id, chat_id) on delete cascade on update cascade
);
create index poll_votes_target_id on public.poll_votes (account_id, target_id, chat_id);
select clarin.guard_table('public.poll_votes', '{chat_id,device_id}');

-- An older reaction or vote never wins, whoever writes it; equal ones change nothing.
create function clarin.keep_newer_reaction() returns trigger
language plpgsql as $$
begin
  if new.reacted_at < old.reacted_at then
    return null;
  end if;
  return new;
end $$;
create trigger keep_newer before update on public.message_reactions
  for each row when (new.emoji is distinct from old.emoji or new.reacted_at is distinct from old.reacted_at)
  execute function clarin.keep_newer_reaction();
alter table public.message_reactions enable always trigger keep_newer;

create function clarin.keep_newer_vote() returns trigger
language plpgsql as $$
begin
  if new.voted_at < old.voted_at then
    return null;
  end if;
  return new;
end $$;
create trigger keep_newer before update on public.poll_votes
  for each row when (new.options is distinct from old.options or new.voted_at is distinct from old.voted_at)
  execute function clarin.keep_newer_vote();
alter table public.poll_votes enable always trigger keep_newer;

create table public.chat_tags (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  chat_id bigint not null,
  tag_id bigint not null,
  device_id bigint,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint chat_tags_identity unique (account_id, id, chat_id, tag_id),
  constraint chat_tags_link unique (account_id, chat_id, tag_id),
  constraint chat_tags_chat foreign key (account_id, chat_id)
    references public.chats (account_id, id) on delete cascade,
  constraint chat_tags_tag foreign key (account_id, tag_id)
    references public.tags (account_id, id) on delete cascade
);
create index chat_tags_tag_id on public.chat_tags (account_id, tag_id, chat_id);
select clarin.guard_table('public.chat_tags', '{chat_id,device_id}');

-- Which device a row of a conversation came by, for roles that see some devices only.
create function clarin.take_device_of_chat() returns trigger
language plpgsql as $$
begin
  if new.device_id is null then
    select device_id into new.device_id from public.chats where account_id = new.account_id and id = new.chat_id;
  end if;
  return new;
end $$;
create trigger take_device before insert on public.message_reactions
  for each row execute function clarin.take_device_of_chat();
create trigger take_device before insert on public.poll_votes
  for each row execute function clarin.take_device_of_chat();
create trigger take_device before insert on public.chat_tags
  for each row execute function clarin.take_device_of_chat();
alter table public.message_reactions enable always trigger take_device;
alter table public.poll_votes enable always trigger take_device;
alter table public.chat_tags enable always trigger take_device;

-- Searching anywhere in a message or a chat's name; the account comes first.
do $$
begin
  create index messages_search on public.messages using gin (account_id, body gin_trgm_ops)
    where target_message_id is null;
  create index chats_search on public.chats using gin (account_id, name gin_trgm_ops);
exception
  when undefined_object then
    raise notice 'searching has no indexes: pg_trgm and btree_gin were not available';
end $$;
