-- Not breaking. Locks: none but on what it makes.
-- Who there is and who may do what. Lengths are those of the declarations in domain/entities, for writers beside the API.

create table public.accounts (
  -- Ids leave as JSON numbers: the sequence ends where a double stops counting.
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  name text not null check (char_length(name) between 1 and 200),
  slug text not null unique check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
  plan text not null default 'standard' check (char_length(plan) <= 50),
  max_devices integer not null default 10 check (max_devices between 0 and 10000),
  is_active boolean not null default true,
  default_country text not null default 'PE' check (default_country ~ '^[A-Z]{2}$'),
  timezone text not null default 'America/Lima' check (char_length(timezone) <= 64),
  default_stage_id bigint,
  settings jsonb not null default '{}' check (clarin.is_small_object(settings)),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
select clarin.guard_table('public.accounts');

create table public.users (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  username text not null check (char_length(username) between 1 and 100),
  email text check (char_length(email) <= 254),
  password_hash text not null check (char_length(password_hash) <= 500),
  display_name text not null check (char_length(display_name) between 1 and 200),
  is_active boolean not null default true,
  is_super_admin boolean not null default false,
  failed_logins integer not null default 0 check (failed_logins >= 0),
  locked_until timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index users_username on public.users (lower(btrim(username)));
create unique index users_email on public.users (lower(btrim(email)));
select clarin.guard_table('public.users');

create table public.roles (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  name text not null check (char_length(name) between 1 and 100),
  permissions text[] not null check (
    permissions <@ '{*,chats,contacts,leads,pipelines,tags,devices,campaigns,settings,integrations,users,ops}'::text[]
    and coalesce(array_ndims(permissions), 1) = 1
    and cardinality(permissions) <= 100
  ),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint roles_identity unique (account_id, id)
);
create unique index roles_unique_name on public.roles (account_id, lower(name));
create index roles_name on public.roles (account_id, name, id);
create index roles_created_at on public.roles (account_id, created_at, id);
select clarin.guard_table('public.roles');

create table public.memberships (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  user_id bigint not null references public.users on delete cascade,
  role_id bigint not null,
  is_default boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint memberships_identity unique (account_id, id),
  constraint memberships_user unique (account_id, user_id),
  -- `no action` and not `restrict`, here and below: an account goes with everything in it, in one statement.
  constraint memberships_role foreign key (account_id, role_id) references public.roles (account_id, id)
);
create unique index memberships_one_default on public.memberships (user_id) where is_default;
create index memberships_user_id on public.memberships (user_id);
create index memberships_role_id on public.memberships (account_id, role_id);
create index memberships_created_at on public.memberships (account_id, created_at, id);
select clarin.guard_table('public.memberships');

create table public.sessions (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  user_id bigint not null references public.users on delete cascade,
  expires_at timestamptz not null,
  revoked_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint sessions_identity unique (account_id, id)
);
create index sessions_user_id on public.sessions (user_id);
create index sessions_expires_at on public.sessions (expires_at);
select clarin.guard_table('public.sessions');

-- A user has one default account: naming another takes it from the first.
create function clarin.keep_one_default_membership() returns trigger
language plpgsql as $$
begin
  update public.memberships
  set is_default = false
  where user_id = new.user_id and is_default and id <> new.id;
  return new;
end $$;
create trigger one_default before insert or update of is_default, user_id on public.memberships
  for each row when (new.is_default) execute function clarin.keep_one_default_membership();
alter table public.memberships enable always trigger one_default;

-- `users` has no account and enters no feed: what makes its sessions worthless must reach their accounts' streams,
-- whoever changed it.
create function clarin.revoke_sessions() returns trigger
language plpgsql as $$
begin
  update public.sessions
  set revoked_at = clock_timestamp()
  where user_id = new.id and revoked_at is null;
  return null;
end $$;
create trigger revoke_sessions after update on public.users
  for each row when (
    (old.is_active and not new.is_active)
    or old.is_super_admin is distinct from new.is_super_admin
    or old.password_hash is distinct from new.password_hash
  ) execute function clarin.revoke_sessions();
alter table public.users enable always trigger revoke_sessions;

create table private.refresh_tokens (
  id bigint generated always as identity primary key,
  account_id bigint not null,
  session_id bigint not null,
  token_hash bytea not null unique check (octet_length(token_hash) <= 64),
  issued_at timestamptz not null default now(),
  used_at timestamptz,
  expires_at timestamptz not null,
  constraint refresh_tokens_session foreign key (account_id, session_id)
    references public.sessions (account_id, id) on delete cascade
);
create index refresh_tokens_session_id on private.refresh_tokens (account_id, session_id);
create index refresh_tokens_expires_at on private.refresh_tokens (expires_at);

create table private.idempotency_keys (
  account_id bigint not null references public.accounts on delete cascade,
  user_id bigint not null references public.users on delete cascade,
  key text not null check (char_length(key) between 1 and 255),
  request_hash text not null check (char_length(request_hash) <= 128),
  -- Null until the request is answered.
  status integer,
  body text,
  etag text,
  created_at timestamptz not null default now(),
  primary key (account_id, user_id, key)
);
create index idempotency_keys_user_id on private.idempotency_keys (user_id);
create index idempotency_keys_created_at on private.idempotency_keys (created_at);
