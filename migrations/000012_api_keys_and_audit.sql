-- Not breaking. Locks: access exclusive on sessions and users, for an instant.
-- Keys for programs, and who changed what.

create table public.api_keys (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  -- On whose behalf it acts: never more than this member may do.
  user_id bigint not null,
  name text not null check (char_length(name) between 1 and 100),
  -- Its first characters, which people compare, and the SHA-256 of the whole: 256 random bits need no slow hash.
  prefix text not null unique check (char_length(prefix) between 8 and 32),
  key_hash bytea not null unique check (octet_length(key_hash) = 32),
  permissions text[] not null check (
    permissions <@ '{*,chats,contacts,leads,pipelines,tags,devices,campaigns,settings,integrations,users,ops}'::text[]
    and coalesce(array_ndims(permissions), 1) = 1
    and cardinality(permissions) <= 100
  ),
  expires_at timestamptz,
  last_used_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint api_keys_identity unique (account_id, id),
  constraint api_keys_member foreign key (account_id, user_id)
    references public.memberships (account_id, user_id) on delete cascade
);
create index api_keys_name on public.api_keys (account_id, name, id);
create index api_keys_created_at on public.api_keys (account_id, created_at, id);
create index api_keys_user_id on public.api_keys (account_id, user_id);
create index api_keys_revoked_at on public.api_keys (account_id, revoked_at);
select clarin.guard_table('public.api_keys');

-- A key is a session of its own kind: whatever ends a session ends it, in the API and in the feed alike.
alter table public.sessions
  add column api_key_id bigint,
  add column permissions text[],
  add constraint sessions_api_key foreign key (account_id, api_key_id)
    references public.api_keys (account_id, id) on delete cascade;
create unique index sessions_api_key_id on public.sessions (account_id, api_key_id) where api_key_id is not null;

create function clarin.open_key_session() returns trigger
language plpgsql as $$
begin
  insert into public.sessions (account_id, user_id, api_key_id, permissions, expires_at)
  values (new.account_id, new.user_id, new.id, new.permissions, coalesce(new.expires_at, now() + interval '100 years'));
  return null;
end $$;
create trigger open_session after insert on public.api_keys
  for each row execute function clarin.open_key_session();
alter table public.api_keys enable always trigger open_session;

create function clarin.carry_key_to_session() returns trigger
language plpgsql as $$
begin
  update public.sessions
  set permissions = new.permissions, revoked_at = new.revoked_at,
    expires_at = coalesce(new.expires_at, created_at + interval '100 years')
  where account_id = new.account_id and api_key_id = new.id;
  return null;
end $$;
create trigger carry_to_session after update on public.api_keys
  for each row when (
    (old.permissions, old.revoked_at, old.expires_at) is distinct from (new.permissions, new.revoked_at, new.expires_at)
  ) execute function clarin.carry_key_to_session();
alter table public.api_keys enable always trigger carry_to_session;

-- A new password ends people's sessions; a program's key goes on until it is revoked or its user is shut out. Then the
-- key itself is revoked, and not its session only: a user who comes back finds keys that say that they are dead.
create or replace function clarin.revoke_sessions() returns trigger
language plpgsql as $$
begin
  update public.sessions
  set revoked_at = clock_timestamp()
  where user_id = new.id and revoked_at is null and api_key_id is null;
  if not new.is_active then
    update public.api_keys
    set revoked_at = clock_timestamp()
    where user_id = new.id and revoked_at is null;
  end if;
  return null;
end $$;

-- Whose session a key is, good or not; notes once an hour that a good one is in use. As the owner, so that the feed
-- can ask without reading digests, or writing anything else.
create function clarin.use_api_key(digest bytea)
returns table (session_id bigint, user_id bigint, account_id bigint)
language plpgsql security definer set search_path = '' as $$
begin
  update public.api_keys as key
  set last_used_at = now()
  where key.key_hash = digest and key.revoked_at is null and (key.expires_at is null or key.expires_at > now())
    and (key.last_used_at is null or key.last_used_at < now() - interval '1 hour');
  return query
    select session.id, session.user_id, session.account_id
    from public.api_keys as key
    join public.sessions as session on session.account_id = key.account_id and session.api_key_id = key.id
    where key.key_hash = digest;
end $$;
revoke all on function clarin.use_api_key(bytea) from public;

create table public.audit_log (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  -- No foreign keys: what was done outlives who did it and what it was done to.
  actor_id bigint,
  source text not null check (char_length(source) <= 20),
  request_id text check (char_length(request_id) <= 64),
  action text not null check (action in ('insert', 'update', 'delete')),
  entity text not null check (char_length(entity) <= 63),
  entity_id bigint not null,
  -- Only what differs; secrets are named and not shown.
  before jsonb check (jsonb_typeof(before) = 'object'),
  after jsonb check (jsonb_typeof(after) = 'object'),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint audit_log_identity unique (account_id, id)
);
create index audit_log_created_at on public.audit_log (account_id, created_at, id);
create index audit_log_entity on public.audit_log (account_id, entity, entity_id, created_at);
create index audit_log_entity_id on public.audit_log (account_id, entity_id);
create index audit_log_actor_id on public.audit_log (account_id, actor_id, created_at);
create index audit_log_action on public.audit_log (account_id, action, created_at);
create index audit_log_source on public.audit_log (account_id, source, created_at);
select clarin.guard_table('public.audit_log');

create function clarin.refuse_audit_change() returns trigger
language plpgsql as $$
begin
  -- An account takes its log with it.
  if tg_op = 'DELETE' and not exists (select from public.accounts where id = old.account_id) then
    return old;
  end if;
  raise exception 'the audit log is only added to' using errcode = 'P0001', table = 'audit_log';
end $$;
create trigger append_only before update or delete on public.audit_log
  for each row execute function clarin.refuse_audit_change();
alter table public.audit_log enable always trigger append_only;
create trigger no_truncate before truncate on public.audit_log
  for each statement execute function clarin.refuse_audit_change();
alter table public.audit_log enable always trigger no_truncate;

-- Who did it is what the transaction says of itself (platform/postgres.ts); somebody in psql says nothing.
-- As the owner, so that no role of ours may write the log itself.
create function clarin.audit() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  origin jsonb := coalesce(nullif(current_setting('clarin.origin', true), ''), '{}')::jsonb;
  -- Change by themselves, or with every write; and what every entry has anyway.
  noise text[] := '{created_at,updated_at,last_used_at,last_seen_at,failed_logins,locked_until}';
  old_row jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) - noise end;
  new_row jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) - noise end;
  known jsonb := coalesce(new_row, old_row);
  concerned bigint[];
begin
  if tg_op = 'UPDATE' then
    select jsonb_object_agg(key, old_row -> key) filter (where old_row -> key <> 'null'),
      jsonb_object_agg(key, new_row -> key) filter (where new_row -> key <> 'null')
      into old_row, new_row
    from jsonb_object_keys(new_row) as key
    where old_row -> key is distinct from new_row -> key;
    if old_row is null and new_row is null then
      return null;
    end if;
  end if;
  concerned := case tg_table_name
    when 'accounts' then array[(known ->> 'id')::bigint]
    -- A user is of every account it is a member of.
    when 'users' then array(select account_id from public.memberships where user_id = (known ->> 'id')::bigint)
    else array[(known ->> 'account_id')::bigint]
  end;
  insert into public.audit_log (account_id, actor_id, source, request_id, action, entity, entity_id, before, after)
  select account.id, (origin ->> 'actor_id')::bigint, coalesce(origin ->> 'source', 'sql'),
    left(origin ->> 'request_id', 64), lower(tg_op), tg_table_name, (known ->> 'id')::bigint,
    clarin.mask_secrets(old_row), clarin.mask_secrets(new_row)
  from unnest(concerned) as wanted (id)
  -- An account that is going takes everything with it.
  join public.accounts as account on account.id = wanted.id
  where not (tg_table_name = 'accounts' and tg_op = 'DELETE');
  -- Looked at only where it comes before: a user who goes, goes.
  return old;
end $$;

-- Names a secret without showing it; leaves out what is not there.
create function clarin.mask_secrets(row_json jsonb) returns jsonb
language sql immutable as $$
  select jsonb_strip_nulls(row_json - 'account_id') || case
    when row_json ?| '{password_hash,key_hash,object_key}' then (
      select coalesce(jsonb_object_agg(name, '(secret)'), '{}')
      from unnest('{password_hash,key_hash,object_key}'::text[]) as name
      where row_json ? name
    )
    else '{}'
  end
$$;
revoke all on function clarin.audit() from public;

-- The same for rows that go by thousands: one statement writes all of it down.
create function clarin.audit_removed() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  origin jsonb := coalesce(nullif(current_setting('clarin.origin', true), ''), '{}')::jsonb;
begin
  insert into public.audit_log (account_id, actor_id, source, request_id, action, entity, entity_id, before)
  select account.id, (origin ->> 'actor_id')::bigint, coalesce(origin ->> 'source', 'sql'),
    left(origin ->> 'request_id', 64), 'delete', tg_table_name, (gone.known ->> 'id')::bigint,
    clarin.mask_secrets(gone.known - '{created_at,updated_at}'::text[])
  from (select to_jsonb(removed) as known from removed) as gone
  join public.accounts as account on account.id = (gone.known ->> 'account_id')::bigint;
  return null;
end $$;
revoke all on function clarin.audit_removed() from public;

do $$
declare
  name text;
begin
  -- What is configured, and who may do what: everything.
  foreach name in array '{accounts,users,roles,memberships,api_keys,devices,pipelines,pipeline_stages,quick_replies,campaigns,imports}'::text[] loop
    execute format(
      'create trigger audit after insert or delete on public.%I for each row execute function clarin.audit()', name
    );
    execute format('alter table public.%I enable always trigger audit', name);
  end loop;
  -- Not the progress of campaigns and imports, nor the states of a device: they are no decisions of anybody.
  foreach name in array '{accounts,users,roles,memberships,api_keys,pipelines,pipeline_stages,quick_replies}'::text[] loop
    execute format(
      'create trigger audit_update after update on public.%I for each row execute function clarin.audit()', name
    );
    execute format('alter table public.%I enable always trigger audit_update', name);
  end loop;
  -- Before its memberships are gone, or nobody would know whose it was.
  execute 'drop trigger audit on public.users';
  execute 'create trigger audit after insert on public.users for each row execute function clarin.audit()';
  execute 'create trigger audit_delete before delete on public.users for each row execute function clarin.audit()';
  execute 'alter table public.users enable always trigger audit';
  execute 'alter table public.users enable always trigger audit_delete';
  execute 'create trigger audit_update after update on public.devices for each row when (
      (old.name, old.wanted, old.receive_messages) is distinct from (new.name, new.wanted, new.receive_messages)
    ) execute function clarin.audit()';
  execute 'create trigger audit_update after update on public.campaigns for each row when (
      (old.name, old.template, old.device_id, old.status, old.scheduled_at)
        is distinct from (new.name, new.template, new.device_id, new.status, new.scheduled_at)
    ) execute function clarin.audit()';
  execute 'alter table public.devices enable always trigger audit_update';
  execute 'alter table public.campaigns enable always trigger audit_update';
  -- Of the daily work, which imports and Kommo do by thousands: what is gone for good, and whom not to contact. Not
  -- each message of a chat that goes.
  foreach name in array '{contacts,leads,tags,chats,media}'::text[] loop
    execute format(
      'create trigger audit after delete on public.%I referencing old table as removed
         for each statement execute function clarin.audit_removed()',
      name
    );
    execute format('alter table public.%I enable always trigger audit', name);
  end loop;
  execute 'create trigger audit_update after update on public.contacts for each row when (
      old.do_not_contact is distinct from new.do_not_contact
    ) execute function clarin.audit()';
  execute 'alter table public.contacts enable always trigger audit_update';
end $$;
