-- Not breaking. Locks: none but on what it makes.
-- Connections to Kommo. Tokens and cursors are in the private schema.

create table public.kommo_connections (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  subdomain text not null check (subdomain ~ '^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$'),
  status text not null default 'connected' check (
    status in ('connected', 'paused', 'needs_reauth', 'rate_limited', 'blocked', 'error', 'disconnected')
  ),
  -- A sentence a person understands, and until when.
  status_reason text check (char_length(status_reason) <= 500),
  status_until timestamptz,
  token_expires_at timestamptz,
  synced_at timestamptz,
  -- Asked for by people; done, with its progress, by the worker.
  full_sync_state text not null default 'none'
    check (full_sync_state in ('none', 'pending', 'running', 'done', 'failed', 'cancelled')),
  full_sync_done integer not null default 0,
  full_sync_total integer,
  full_sync_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint kommo_connections_identity unique (account_id, id),
  constraint kommo_connections_subdomain unique (account_id, subdomain)
);
create index kommo_connections_created_at on public.kommo_connections (account_id, created_at, id);
create index kommo_connections_status on public.kommo_connections (account_id, status);
select clarin.guard_table('public.kommo_connections');

create table public.kommo_pipelines (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  connection_id bigint not null,
  kommo_id bigint not null,
  name text not null check (char_length(name) between 1 and 200),
  -- Ours, once it was made.
  pipeline_id bigint,
  is_connected boolean not null default false,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint kommo_pipelines_identity unique (account_id, id),
  constraint kommo_pipelines_kommo_id unique (account_id, connection_id, kommo_id),
  constraint kommo_pipelines_connection foreign key (account_id, connection_id)
    references public.kommo_connections (account_id, id) on delete cascade,
  constraint kommo_pipelines_pipeline foreign key (account_id, pipeline_id)
    references public.pipelines (account_id, id) on delete set null (pipeline_id)
);
create index kommo_pipelines_connection_id on public.kommo_pipelines (account_id, connection_id);
create index kommo_pipelines_pipeline_id on public.kommo_pipelines (account_id, pipeline_id);
create index kommo_pipelines_name on public.kommo_pipelines (account_id, name, id);
create index kommo_pipelines_created_at on public.kommo_pipelines (account_id, created_at, id);
select clarin.guard_table('public.kommo_pipelines');

-- Sealed with AES-256-GCM by the program (platform/secret-box.ts).
create table private.kommo_tokens (
  connection_id bigint primary key references public.kommo_connections (id) on delete cascade,
  account_id bigint not null,
  access_token bytea not null,
  refresh_token bytea,
  updated_at timestamptz not null default now()
);

-- Where each stream of a connection goes on; written every few seconds, so in no feed.
create table private.kommo_cursors (
  connection_id bigint not null references public.kommo_connections (id) on delete cascade,
  account_id bigint not null,
  kind text not null check (char_length(kind) <= 50),
  position jsonb not null,
  updated_at timestamptz not null default now(),
  primary key (connection_id, kind)
);

create trigger audit after insert or delete on public.kommo_connections
  for each row execute function clarin.audit();
alter table public.kommo_connections enable always trigger audit;
-- What people decide: the connection, a full sync, which pipelines. Not how the worker is doing.
create trigger audit_update after update on public.kommo_connections for each row when (
    (old.status = 'disconnected') <> (new.status = 'disconnected')
    or old.full_sync_state <> new.full_sync_state and new.full_sync_state in ('pending', 'cancelled')
  ) execute function clarin.audit();
alter table public.kommo_connections enable always trigger audit_update;
create trigger audit_update after update on public.kommo_pipelines for each row when (
    old.is_connected <> new.is_connected
  ) execute function clarin.audit();
alter table public.kommo_pipelines enable always trigger audit_update;
