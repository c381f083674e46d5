-- Not breaking. Locks: writes of messages and pipeline_stages wait for an instant.
-- What two writers at once could miss: an address that nobody has any more, an unread message that cannot be read, a
-- default stage that is gone.

-- Holds whatever these addresses resolve to until the transaction ends, and gives how many of them do. Looks again until
-- it holds all there is: what is handed on from one to another is waited for, and then somebody else's.
create function clarin.hold_addresses(account bigint, jid text, lid text, phone text, kommo_id bigint) returns integer
language plpgsql as $$
declare
  kinds text[] := '{jid,kommo,lid,phone}';
  addresses text[] := array[jid, kommo_id::text, lid, clarin.phone_key(phone)];
  held integer;
  there integer;
begin
  loop
    perform 1
    from unnest(kinds, addresses) as wanted (kind, value)
    cross join lateral (
      select from public.contact_identities as identity
      where identity.account_id = account and identity.kind = wanted.kind and identity.value = wanted.value
      for key share
    ) as known;
    get diagnostics held = row_count;
    select count(*) into there
    from unnest(kinds, addresses) as wanted (kind, value)
    join public.contact_identities as identity
      on identity.account_id = account and identity.kind = wanted.kind and identity.value = wanted.value;
    exit when there <= held;
  end loop;
  return held;
end $$;

-- Whoever writes a contact, its addresses resolve to it; the first one keeps an address that two claim. Whoever claims
-- one that another contact has holds it: who gives it up meanwhile waits, and then sees the claim.
create or replace function clarin.keep_identities() returns trigger
language plpgsql as $$
declare
  wanted_count integer := (new.jid <> '' is true)::integer + (new.lid <> '' is true)::integer
    + (new.phone <> '' is true)::integer + (new.kommo_id is not null)::integer;
  settled integer;
begin
  if tg_op = 'UPDATE' then
    -- One that is being handed over to us right now is given up below.
    perform clarin.hold_addresses(old.account_id, old.jid, old.lid, old.phone, old.kommo_id);
    -- An address that was corrected no longer resolves; one that came by a merge stays.
    delete from public.contact_identities
    where account_id = old.account_id and contact_id = old.id and (
      (kind = 'jid' and value = old.jid and old.jid is distinct from new.jid)
      or (kind = 'lid' and value = old.lid and old.lid is distinct from new.lid)
      or (kind = 'phone' and value = clarin.phone_key(old.phone)
        and clarin.phone_key(old.phone) is distinct from clarin.phone_key(new.phone))
      or (kind = 'kommo' and value = old.kommo_id::text and old.kommo_id is distinct from new.kommo_id)
    );
  end if;
  loop
    insert into public.contact_identities (account_id, contact_id, kind, value)
    select new.account_id, new.id, wanted.kind, wanted.value
    from (values
      ('jid', new.jid), ('lid', new.lid), ('phone', clarin.phone_key(new.phone)), ('kommo', new.kommo_id::text)
    ) as wanted (kind, value)
    where wanted.value <> ''
    on conflict (account_id, kind, value) do nothing;
    get diagnostics settled = row_count;
    exit when settled = wanted_count;
    -- Fewer: somebody gave one up just now, and it is free.
    exit when clarin.hold_addresses(new.account_id, new.jid, new.lid, new.phone, new.kommo_id) >= wanted_count;
  end loop;
  return null;
end $$;

-- An address that its contact gives up or takes along passes to the next contact that has it, or it would resolve to
-- nobody while somebody has it. One that somebody holds is waited for only where nobody else is there.
create or replace function clarin.hand_over_identity() returns trigger
language plpgsql as $$
declare
  claimants bigint[];
  heir bigint;
begin
  -- An account that is deleted needs no heirs.
  if not exists (select from public.accounts where id = old.account_id) then
    return null;
  end if;
  claimants := array(
    select id from public.contacts
    where old.kind = 'jid' and account_id = old.account_id and jid = old.value
    union all
    select id from public.contacts
    where old.kind = 'lid' and account_id = old.account_id and lid = old.value
    union all
    select id from public.contacts
    where old.kind = 'phone' and account_id = old.account_id and phone is not null
      and clarin.phone_key(phone) = old.value
    union all
    select id from public.contacts
    where account_id = old.account_id
      and kommo_id = case when old.kind = 'kommo' and old.value ~ '^\d{1,18}$' then old.value::bigint end
  );
  if claimants = '{}' then
    return null;
  end if;
  select id into heir from public.contacts
  where account_id = old.account_id and id = any (claimants)
  order by id limit 1 for key share skip locked;
  if heir is null then
    -- Being deleted, and then it is none; or only held, by a merge.
    select id into heir from public.contacts
    where account_id = old.account_id and id = any (claimants)
    order by id limit 1 for key share;
  end if;
  -- Whoever held it may have taken the address from it.
  insert into public.contact_identities (account_id, contact_id, kind, value)
  select account_id, id, old.kind, old.value
  from public.contacts
  where account_id = old.account_id and id = heir and old.value = case old.kind
    when 'jid' then jid when 'lid' then lid when 'phone' then clarin.phone_key(phone) else kommo_id::text
  end
  on conflict (account_id, kind, value) do nothing;
  return null;
end $$;

-- Those whom a race has cost an address.
insert into public.contact_identities (account_id, contact_id, kind, value)
select contact.account_id, contact.id, wanted.kind, wanted.value
from public.contacts as contact
cross join lateral (values
  ('jid', contact.jid), ('lid', contact.lid), ('phone', clarin.phone_key(contact.phone)), ('kommo', contact.kommo_id::text)
) as wanted (kind, value)
where wanted.value <> ''
order by contact.id
on conflict (account_id, kind, value) do nothing;

-- What is unread can be read: `last_inbound_at`, up to which a chat is read, follows what is unread in it when a message
-- is moved to it or to another time. It never goes back.
create or replace function clarin.recount_chats(account bigint, chat_ids bigint[]) returns void
language sql as $$
  update public.chats as chat
  set last_message_id = newest.id, last_message = newest.preview, last_message_type = newest.message_type,
    last_message_is_from_me = newest.is_from_me, last_message_at = newest.sent_at,
    last_inbound_at = greatest(chat.last_inbound_at, unread.newest_at), unread_count = unread.total
  from unnest(chat_ids) as wanted (id)
  left join lateral (
    select message.id, left(message.body, 200) as preview, message.message_type, message.is_from_me, message.sent_at
    from public.messages as message
    where message.account_id = account and message.chat_id = wanted.id and message.target_message_id is null
    order by message.sent_at desc, message.id desc
    limit 1
  ) as newest on true
  cross join lateral (
    select count(*) as total, max(message.sent_at) as newest_at
    from public.messages as message
    join public.chats as read on read.account_id = account and read.id = wanted.id
    where message.account_id = account and message.chat_id = wanted.id and message.target_message_id is null
      and message.sent_at > coalesce(read.last_read_at, '-infinity')
      and not message.is_from_me and message.status = 'received'
  ) as unread
  where chat.account_id = account and chat.id = wanted.id
    and (chat.last_message_id, chat.last_message, chat.last_message_type, chat.last_message_is_from_me,
        chat.last_message_at, chat.last_inbound_at, chat.unread_count)
      is distinct from (newest.id, newest.preview, newest.message_type, newest.is_from_me, newest.sent_at,
        greatest(chat.last_inbound_at, unread.newest_at), unread.total::integer)
$$;

-- A notice of WhatsApp's own: nobody wrote it, so it is never unread, whoever writes it down.
create function clarin.read_notice() returns trigger
language plpgsql as $$
begin
  new.status := 'read';
  return new;
end $$;
-- After `derive`, which says what an inbound message without a status is.
create trigger derive_notice before insert or update on public.messages
  for each row when (new.message_type = 'system' and not new.is_from_me and new.status = 'received')
  execute function clarin.read_notice();
alter table public.messages enable always trigger derive_notice;

-- An account that has a default stage keeps one: when it is deleted, the first of its pipeline takes its place, or else
-- of the default pipeline. Without one, whoever writes for the first time would have no lead.
-- As the owner: who deletes stages need not have the right to change the account.
create function clarin.move_default_stage() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.accounts as account
  set default_stage_id = (
    select stage.id
    from public.pipeline_stages as stage
    join public.pipelines as pipeline on pipeline.account_id = stage.account_id and pipeline.id = stage.pipeline_id
    where stage.account_id = old.account_id and stage.type = 'active' and stage.id <> old.id
    order by stage.pipeline_id <> old.pipeline_id, not pipeline.is_default, pipeline.position, stage.position, stage.id
    limit 1
  )
  where account.id = old.account_id and account.default_stage_id = old.id;
  return old;
end $$;
create trigger move_default before delete on public.pipeline_stages
  for each row execute function clarin.move_default_stage();
alter table public.pipeline_stages enable always trigger move_default;

-- Two that are made the default one at once follow each other. As the owner: to lock an account takes the right to change
-- it, and who makes pipelines (Kommo's) need not have that.
create or replace function clarin.derive_pipeline() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.position is null or new.is_default and (tg_op = 'INSERT' or not old.is_default) then
    -- Nor must two that come at once choose the same place.
    perform 1 from public.accounts where id = new.account_id for no key update;
  end if;
  if new.position is null then
    select coalesce(max(position) + 1, 0) into new.position
    from public.pipelines
    where account_id = new.account_id;
  end if;
  if new.is_default then
    update public.pipelines
    set is_default = false
    where account_id = new.account_id and is_default and id <> new.id;
  end if;
  return new;
end $$;
