-- Not breaking. Locks: the audit log, and whoever adds to it waits, while its entries are rewritten; writes of sessions and
-- memberships wait for an instant.
-- The audit log says which row and which columns, and nothing that people wrote. Who left an account is out for good.

-- Whoever reads the log needs the permission `settings` and no device: what it shows of a row is its ids, and what is
-- configured. Every other column is named where it changes and not shown; a new one too, until it stands here.
create function clarin.audit_values(entity text) returns text[]
language sql immutable parallel safe as $$
  select case entity
    when 'accounts' then
      '{name,slug,plan,max_devices,is_active,default_country,timezone,settings}'::text[]
    when 'users' then '{username,display_name,is_active,is_super_admin}'
    when 'roles' then '{name,permissions,device_ids}'
    when 'memberships' then '{is_default}'
    when 'api_keys' then '{name,prefix,permissions,expires_at,revoked_at}'
    when 'devices' then '{name,status,wanted,receive_messages,platform}'
    when 'pipelines' then '{name,position,is_default}'
    when 'pipeline_stages' then '{name,color,type,position}'
    when 'quick_replies' then '{shortcut,title}'
    when 'campaigns' then
      '{name,status,scheduled_at,delay_seconds_min,delay_seconds_max,batch_size,batch_pause_seconds,daily_limit,
        active_from,active_to,total_count,pending_count,claimed_count,sent_count,delivered_count,read_count,failed_count,
        skipped_count,next_at,last_claimed_at,batch_count,day,day_count,started_at,finished_at}'
    when 'imports' then
      '{size,encoding,separator,country,is_dry_run,state,processed_count,created_count,updated_count,unchanged_count,
        failed_count,processed_bytes,started_at,finished_at}'
    when 'kommo_connections' then
      '{subdomain,name,currency,status,status_until,token_expires_at,last_change_at,full_sync_state,
        full_sync_done,full_sync_total,full_sync_at}'
    when 'kommo_pipelines' then '{name,is_connected}'
    when 'contacts' then '{do_not_contact,do_not_contact_at}'
    else '{}'
  end
$$;

-- What a row that is gone was called, where it was a setting and nobody's words.
create function clarin.audit_names(entity text) returns text[]
language sql immutable parallel safe as $$
  select case
    when entity in ('roles', 'pipelines', 'pipeline_stages', 'tags', 'devices', 'campaigns', 'kommo_pipelines')
      then '{name}'::text[]
    when entity = 'api_keys' then '{name,prefix}'
    when entity = 'users' then '{username}'
    when entity = 'quick_replies' then '{shortcut,title}'
    when entity = 'kommo_connections' then '{name,subdomain}'
    else '{}'
  end
$$;

-- An entry's half: of a row that is gone its ids and its name; else the columns that differ, with the values that may be
-- shown. Leaves out what is not there.
create function clarin.audit_keys(entity text, action text, row_json jsonb) returns jsonb
language sql immutable parallel safe as $$
  select jsonb_object_agg(member.key, case
      when about.is_shown then member.value
      when member.key in ('password_hash', 'key_hash', 'object_key') then '"(secret)"'
      else '"(hidden)"'
    end)
  from jsonb_each(row_json - 'account_id') as member
  cross join lateral (
    select member.key = any (case action
        when 'delete' then clarin.audit_names(entity) else clarin.audit_values(entity)
      end)
      -- Ids are numbers: what else ends like one may be an address.
      or jsonb_typeof(member.value) = 'number' and (
        member.key = 'id' or member.key like '%\_id'
        or member.key in ('assigned_to', 'created_by', 'do_not_contact_by')
      ) as is_shown
  ) as about
  where member.value <> 'null' and (action <> 'delete' or about.is_shown)
$$;

create or replace function clarin.audit() returns trigger
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
    clarin.audit_keys(tg_table_name, lower(tg_op), old_row), clarin.audit_keys(tg_table_name, lower(tg_op), new_row)
  from unnest(concerned) as wanted (id)
  -- An account that is going takes everything with it.
  join public.accounts as account on account.id = wanted.id
  where not (tg_table_name = 'accounts' and tg_op = 'DELETE');
  -- Looked at only where it comes before: a user who goes, goes.
  return old;
end $$;

create or replace function clarin.audit_removed() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  origin jsonb := coalesce(nullif(current_setting('clarin.origin', true), ''), '{}')::jsonb;
begin
  insert into public.audit_log (account_id, actor_id, source, request_id, action, entity, entity_id, before)
  select account.id, (origin ->> 'actor_id')::bigint, coalesce(origin ->> 'source', 'sql'),
    left(origin ->> 'request_id', 64), 'delete', tg_table_name, (gone.known ->> 'id')::bigint,
    clarin.audit_keys(tg_table_name, 'delete', gone.known)
  from (select to_jsonb(removed) as known from removed) as gone
  join public.accounts as account on account.id = (gone.known ->> 'account_id')::bigint;
  return null;
end $$;

drop function clarin.mask_secrets(jsonb);

-- What was written down before. The log is only added to, but for this once, and by nobody but its owner.
alter table public.audit_log disable trigger append_only;
update public.audit_log
set before = clarin.audit_keys(entity, action, before), after = clarin.audit_keys(entity, action, after)
where (before, after)
  is distinct from (clarin.audit_keys(entity, action, before), clarin.audit_keys(entity, action, after));
alter table public.audit_log enable always trigger append_only;

-- Who leaves an account leaves their sessions: being a member again later does not open them again. A super administrator
-- needs no membership, so theirs go on. Before the row goes, and so before its keys do, which are revoked after sessions
-- everywhere: no two wait for each other.
create function clarin.leave_account() returns trigger
language plpgsql as $$
begin
  -- An account or a user that is deleted takes the sessions with it.
  if exists (select from public.accounts where id = old.account_id) then
    update public.sessions as session
    set revoked_at = clock_timestamp()
    from public.users as person
    where session.account_id = old.account_id and session.user_id = old.user_id
      and session.revoked_at is null and session.api_key_id is null
      and person.id = old.user_id and not person.is_super_admin;
    -- Keys go with their member by a foreign key, at which a replicating session does not look.
    if current_setting('session_replication_role') = 'replica' then
      update public.api_keys
      set revoked_at = clock_timestamp()
      where account_id = old.account_id and user_id = old.user_id and revoked_at is null;
    end if;
  end if;
  if tg_op = 'DELETE' then
    return old;
  end if;
  return new;
end $$;
create trigger leave_account before delete on public.memberships
  for each row execute function clarin.leave_account();
create trigger leave_account_otherwise before update on public.memberships
  for each row when ((old.account_id, old.user_id) is distinct from (new.account_id, new.user_id))
  execute function clarin.leave_account();
alter table public.memberships enable always trigger leave_account;
alter table public.memberships enable always trigger leave_account_otherwise;

-- Whoever logs in was a member when it was looked, before their password was. Leaving waits for a session that is being
-- opened, and then ends it; one that is opened too late is over from its first moment.
create function clarin.enter_account() returns trigger
language plpgsql as $$
begin
  perform from public.memberships
  where account_id = new.account_id and user_id = new.user_id
  for key share;
  if not found and not exists (select from public.users where id = new.user_id and is_super_admin) then
    new.revoked_at := coalesce(new.revoked_at, clock_timestamp());
  end if;
  return new;
end $$;
create trigger enter_account before insert on public.sessions
  for each row execute function clarin.enter_account();
alter table public.sessions enable always trigger enter_account;

-- Those who have left before this.
update public.sessions as session
set revoked_at = clock_timestamp()
from public.users as person
where person.id = session.user_id and not person.is_super_admin and session.revoked_at is null
  and not exists (
    select from public.memberships as member
    where member.account_id = session.account_id and member.user_id = session.user_id
  );
