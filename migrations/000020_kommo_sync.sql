-- Not breaking. Locks: access exclusive on leads, contacts and kommo_connections, for an instant.
-- What reading Kommo every few seconds needs. Whatever is written often is in the private schema: in no feed.

-- Deleted in Kommo: the row stays, a lead goes to the trash.
alter table public.leads add column kommo_deleted_at timestamptz;
alter table public.contacts add column kommo_deleted_at timestamptz;

alter table public.kommo_connections
  drop column synced_at,
  -- Of the account over there, as it last said itself.
  add column kommo_account_id bigint,
  add column name text check (char_length(name) <= 200),
  add column currency text check (currency ~ '^[A-Z]{3}$'),
  -- When something that had changed over there was last written here. How far behind the reading is: private.kommo_pulses.
  add column last_change_at timestamptz;

-- A row of Kommo's that is in Clarin: what it looked like when it was written. As long as it looks the same there is
-- nothing to write. Gone with its row: it is then new again.
create table private.kommo_leads (
  connection_id bigint not null references public.kommo_connections (id) on delete cascade,
  kommo_id bigint not null,
  account_id bigint not null,
  lead_id bigint not null references public.leads (id) on delete cascade,
  -- 16 bytes of SHA-256 over what is mapped, in one order.
  hash bytea not null check (octet_length(hash) = 16),
  -- Kommo's updated_at, Unix seconds: an older look never wins.
  source_updated_at bigint not null,
  -- Its pipeline is not followed (any more): archived by us.
  is_away boolean not null default false,
  deleted_at timestamptz,
  primary key (connection_id, kommo_id)
);
create index kommo_leads_lead_id on private.kommo_leads (lead_id);

create table private.kommo_contacts (
  connection_id bigint not null references public.kommo_connections (id) on delete cascade,
  kommo_id bigint not null,
  account_id bigint not null,
  contact_id bigint not null references public.contacts (id) on delete cascade,
  hash bytea not null check (octet_length(hash) = 16),
  source_updated_at bigint not null,
  deleted_at timestamptz,
  primary key (connection_id, kommo_id)
);
create index kommo_contacts_contact_id on private.kommo_contacts (contact_id);

-- Its people, and who of ours they are: the member with the same e-mail.
create table private.kommo_users (
  connection_id bigint not null references public.kommo_connections (id) on delete cascade,
  kommo_id bigint not null,
  account_id bigint not null,
  name text not null,
  email text,
  primary key (connection_id, kommo_id)
);

-- Tags have one id for leads and another one for contacts.
create table private.kommo_tags (
  connection_id bigint not null references public.kommo_connections (id) on delete cascade,
  entity text not null check (entity in ('lead', 'contact')),
  kommo_id bigint not null,
  account_id bigint not null,
  tag_id bigint not null references public.tags (id) on delete cascade,
  primary key (connection_id, entity, kommo_id)
);
create index kommo_tags_tag_id on private.kommo_tags (tag_id);

-- Ids that somebody says have changed: a webhook, an event. Fetched before anything else; losing one costs a few seconds.
create table private.kommo_hints (
  connection_id bigint not null references public.kommo_connections (id) on delete cascade,
  entity text not null check (entity in ('lead', 'contact')),
  kommo_id bigint not null,
  created_at timestamptz not null default now(),
  primary key (connection_id, entity, kommo_id)
);

-- The secret in the address of a webhook, as SHA-256.
create table private.kommo_webhooks (
  connection_id bigint primary key references public.kommo_connections (id) on delete cascade,
  account_id bigint not null,
  secret_hash bytea not null unique check (octet_length(secret_hash) = 32),
  created_at timestamptz not null default now()
);

-- Written with every pass, so in no WAL: after a crash it begins empty, and the next pass fills it.
create unlogged table private.kommo_pulses (
  connection_id bigint primary key,
  account_id bigint not null,
  -- The end of the last complete pass over what changed, and how long until the next one.
  polled_at timestamptz not null,
  cadence_seconds real not null,
  requests bigint not null default 0
);

-- When the next request may leave, for each address they leave from ('egress:<name>') and each account over there
-- ('account:<connection>'). The times are lost in a crash; the bans, which matter, are not.
create unlogged table private.kommo_slots (
  bucket text primary key check (char_length(bucket) <= 200),
  next_at timestamptz not null
);
create table private.kommo_pauses (
  bucket text primary key check (char_length(bucket) <= 200),
  paused_until timestamptz not null,
  -- From then on slowly: requests in a second, one more for each quiet minute.
  resumed_rate real not null default 2,
  -- Times in a row that it was shut out, for the doubling.
  times integer not null default 1,
  updated_at timestamptz not null default now()
);

-- Work that is with one process at a time. A worker is a row that it keeps alive; a lease names its worker, and `fence` counts its owners,
-- so that a late owner's writes are refused.
create table private.ingest_workers (
  id uuid primary key,
  expires_at timestamptz not null
);
create table private.ingest_leases (
  -- 'kommo:<connection>', 'whatsapp:<device>'.
  resource text primary key check (char_length(resource) <= 100),
  owner uuid,
  fence bigint not null default 0
);
create index ingest_leases_owner on private.ingest_leases (owner);

-- What each process may do with what came since.
create or replace function clarin.grant_roles() returns void
language plpgsql as $$
begin
  if to_regrole('clarin_api') is not null then
    grant usage on schema public, clarin, private to clarin_api;
    grant select, insert, update, delete on all tables in schema public to clarin_api;
    grant select, insert, update, delete on all tables in schema private to clarin_api;
    grant select on clarin.schema_migrations to clarin_api;
    alter default privileges in schema public grant select, insert, update, delete on tables to clarin_api;
    grant execute on function clarin.use_api_key(bytea) to clarin_api;
    -- Written by its trigger alone.
    revoke insert, update, delete on public.audit_log from clarin_api;
    -- The workers' own. Where a foreign key cascades to them, it does so by the owner's rights.
    revoke all on private.kommo_leads, private.kommo_contacts, private.kommo_users, private.kommo_tags,
      private.ingest_workers, private.ingest_leases from clarin_api;
    revoke insert, update, delete on private.kommo_pulses from clarin_api;
  end if;
  if to_regrole('clarin_ingest') is not null then
    grant usage on schema public, clarin, private to clarin_ingest;
    -- A file that is shown as a quick reply outlives its message.
    grant select on public.accounts, public.memberships, public.roles, public.quick_replies to clarin_ingest;
    grant select, insert, update, delete on
      public.pipelines, public.pipeline_stages, public.contacts, public.leads, public.tags,
      public.lead_tags, public.contact_tags, public.chat_tags, public.contact_identities,
      public.contact_device_names, public.chats, public.messages, public.message_reactions, public.poll_votes,
      public.media, public.device_pairings, public.campaign_recipients, public.import_errors,
      public.kommo_pipelines to clarin_ingest;
    -- Interactions move with a contact that is merged.
    grant select, update on public.interactions,
      public.devices, public.campaigns, public.imports, public.kommo_connections to clarin_ingest;
    -- Purging.
    grant select, delete on public.sessions, private.refresh_tokens, private.idempotency_keys to clarin_ingest;
    grant select, insert, update, delete on
      private.media_removals, private.import_leases, private.kommo_tokens, private.kommo_cursors,
      private.kommo_leads, private.kommo_contacts, private.kommo_users, private.kommo_tags, private.kommo_hints,
      private.kommo_pulses, private.kommo_slots, private.kommo_pauses, private.ingest_workers,
      private.ingest_leases to clarin_ingest;
    -- Who of ours a person of Kommo's is.
    grant select (id, email, is_active) on public.users to clarin_ingest;
    grant select on clarin.schema_migrations to clarin_ingest;
  end if;
  if to_regrole('clarin_replicator') is not null then
    -- Nothing that its slot does not show anyway, and no secrets.
    grant usage on schema public, clarin to clarin_replicator;
    grant select on
      public.accounts, public.roles, public.memberships, public.sessions, public.pipelines,
      public.pipeline_stages, public.contacts, public.leads, public.tags, public.lead_tags,
      public.contact_tags, public.chat_tags, public.devices, public.device_pairings, public.contact_identities,
      public.contact_device_names, public.chats, public.messages, public.message_reactions, public.poll_votes,
      public.interactions, public.quick_replies, public.campaigns, public.campaign_recipients,
      public.import_errors, public.audit_log, public.kommo_connections, public.kommo_pipelines
      to clarin_replicator;
    grant select (id, username, email, display_name, is_active, is_super_admin, created_at, updated_at)
      on public.users to clarin_replicator;
    grant execute on function clarin.use_api_key(bytea) to clarin_replicator;
    grant select (id, account_id, user_id, name, prefix, permissions, expires_at, last_used_at, revoked_at,
      created_at, updated_at) on public.api_keys to clarin_replicator;
    grant select (id, account_id, device_id, mimetype, filename, size, state, created_by, created_at, updated_at)
      on public.media to clarin_replicator;
    grant select (id, account_id, filename, size, encoding, separator, mapping, country, is_dry_run, state, error,
      processed_count, created_count, updated_count, unchanged_count, failed_count, processed_bytes, started_at,
      finished_at, created_by, created_at, updated_at) on public.imports to clarin_replicator;
    grant select on clarin.schema_migrations to clarin_replicator;
  end if;
end $$;
select clarin.grant_roles();
