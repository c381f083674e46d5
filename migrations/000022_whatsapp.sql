-- Not breaking. Locks: access exclusive on devices, for an instant; share on messages, while it is read once for an index.
-- What a pool of WhatsApp devices needs. Credentials, keys and what waits are in the private schema: in no feed.

alter table public.devices
  -- Why it is as it is, for programs; `status_reason` says the same to people.
  add column status_code text check (status_code ~ '^[a-z_]{1,40}$'),
  -- When status or status_code last became another one.
  add column status_since timestamptz not null default now(),
  -- When its worker tries again by itself. Null: it does not, or is at it.
  add column retry_at timestamptz,
  -- Groups are read too. Status updates and channels never are.
  add column receive_groups boolean not null default false;

create function clarin.date_device_status() returns trigger
language plpgsql as $$
begin
  new.status_since := clock_timestamp();
  return new;
end $$;
create trigger date_status before update on public.devices
  for each row when ((old.status, old.status_code) is distinct from (new.status, new.status_code))
  execute function clarin.date_device_status();
alter table public.devices enable always trigger date_status;

-- Who a device is to WhatsApp, sealed: registration, identity and noise keys, pre-key counters.
create table private.whatsapp_sessions (
  device_id bigint primary key references public.devices (id) on delete cascade,
  account_id bigint not null,
  creds bytea not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

-- Signal's keys and ratchets and what else Baileys keeps under a type and an id, sealed. One row is written for every
-- message, again and again: room is left on each page for it.
create table private.whatsapp_keys (
  device_id bigint not null references private.whatsapp_sessions (device_id) on delete cascade,
  type text not null check (char_length(type) <= 64),
  id text not null check (char_length(id) <= 256),
  value bytea not null,
  primary key (device_id, type, id)
) with (fillfactor = 70);

-- Stanzas that were decrypted and are not rows of ours yet. Written with the ratchet that decrypted them, before WhatsApp
-- is told that they came; gone with the commit that makes them messages.
create table private.whatsapp_inbox (
  id bigint generated always as identity primary key,
  -- Of one decryption: when nobody knows whether its commit came through, it is written again, and is one row.
  key uuid not null unique,
  account_id bigint not null,
  device_id bigint not null references public.devices (id) on delete cascade,
  attrs jsonb not null,
  -- Sealed: an encoded Message of WhatsApp's, with its padding. May hold keys.
  plain bytea not null,
  attempts smallint not null default 0,
  -- Not taken before, after it failed. Null: given up, kept for whoever looks.
  next_at timestamptz default now(),
  error text check (char_length(error) <= 500),
  created_at timestamptz not null default now()
);
create index whatsapp_inbox_device_id on private.whatsapp_inbox (device_id, id);

-- Receipts that overtook their message.
create table private.whatsapp_parked_receipts (
  device_id bigint not null references public.devices (id) on delete cascade,
  account_id bigint not null,
  message_id text not null check (char_length(message_id) <= 128),
  jid text not null check (char_length(jid) <= 128),
  status text not null,
  at timestamptz not null,
  created_at timestamptz not null default now(),
  primary key (device_id, message_id, jid, status)
);
create index whatsapp_parked_receipts_created_at on private.whatsapp_parked_receipts (created_at);

-- Messages as WhatsApp has them, sealed, for as long as they may be needed: ours when somebody could not decrypt them,
-- polls for their votes, what could not be read for whoever will read it.
create table private.whatsapp_messages (
  device_id bigint not null references public.devices (id) on delete cascade,
  account_id bigint not null,
  message_id text not null check (char_length(message_id) <= 128),
  is_from_me boolean not null,
  purpose text not null check (purpose in ('sent', 'poll', 'unknown')),
  -- An encoded Message.
  message bytea not null,
  -- How often somebody asked for it again.
  retries smallint not null default 0,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  primary key (device_id, message_id, is_from_me)
);
create index whatsapp_messages_expires_at on private.whatsapp_messages (expires_at);

-- Files to fetch: where they are, and the key that opens them, sealed.
create table private.whatsapp_downloads (
  media_id bigint primary key references public.media (id) on delete cascade,
  account_id bigint not null,
  device_id bigint not null references public.devices (id) on delete cascade,
  -- An encoded WebMessageInfo.
  message bytea not null,
  attempts smallint not null default 0,
  next_at timestamptz not null default now(),
  error text check (char_length(error) <= 500),
  created_at timestamptz not null default now()
);
create index whatsapp_downloads_device_id on private.whatsapp_downloads (device_id, next_at);

-- Messages of ours that a worker has begun to send.
create table private.whatsapp_sends (
  message_id bigint primary key references public.messages (id) on delete cascade,
  account_id bigint not null,
  device_id bigint not null references public.devices (id) on delete cascade,
  attempts smallint not null default 1,
  next_at timestamptz not null default now(),
  created_at timestamptz not null default now()
);
create index whatsapp_sends_device_id on private.whatsapp_sends (device_id);

-- They are found by their device also without those rows, as when it is deleted.
create index messages_sending on public.messages (account_id, device_id) where status = 'sending';

-- Chats that a device began by writing first: WhatsApp bans who does so too often.
create table private.whatsapp_first_contacts (
  device_id bigint not null references public.devices (id) on delete cascade,
  chat_id bigint not null references public.chats (id) on delete cascade,
  account_id bigint not null,
  created_at timestamptz not null default now(),
  primary key (device_id, chat_id)
);
create index whatsapp_first_contacts_created_at on private.whatsapp_first_contacts (device_id, created_at);
create index whatsapp_first_contacts_chat_id on private.whatsapp_first_contacts (chat_id);

-- Chats that were read here, which WhatsApp is still to be told.
create table private.whatsapp_reads (
  chat_id bigint primary key references public.chats (id) on delete cascade,
  account_id bigint not null,
  device_id bigint not null references public.devices (id) on delete cascade,
  -- What was received after this, up to the chat's last_read_at.
  read_after timestamptz not null,
  -- Counts how often it was read meanwhile: a worker takes away only what it has told.
  version integer not null default 0
);
create index whatsapp_reads_device_id on private.whatsapp_reads (device_id);
create function clarin.note_chat_read() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into private.whatsapp_reads as noted (chat_id, account_id, device_id, read_after)
  values (new.id, new.account_id, new.device_id, coalesce(old.last_read_at, '-infinity'))
  on conflict (chat_id) do update set version = noted.version + 1, device_id = excluded.device_id;
  return null;
end $$;
create trigger note_read after update on public.chats
  for each row when (new.device_id is not null and new.last_read_at is distinct from old.last_read_at)
  execute function clarin.note_chat_read();
alter table public.chats enable always trigger note_read;

-- Written every few seconds, so in no WAL: the last frame that came, by which `connected` is believed.
create unlogged table private.whatsapp_pulses (
  device_id bigint primary key,
  account_id bigint not null,
  frame_at timestamptz not null
);

-- Client versions, the newest proven one is used; none: Baileys' own.
create table private.whatsapp_versions (
  version text primary key check (version ~ '^\d{1,9}\.\d{1,9}\.\d{1,12}$'),
  added_at timestamptz not null default now(),
  proven_at timestamptz,
  refused_at timestamptz
);
-- Devices whose client version WhatsApp refused, each its last time; three within minutes stop all new connections.
create table private.whatsapp_refusals (
  device_id bigint primary key references public.devices (id) on delete cascade,
  refused_at timestamptz not null
);
create table private.whatsapp_breaker (
  is_only boolean primary key default true check (is_only),
  -- Null: closed, everybody may connect.
  opened_at timestamptz,
  -- When the next device may try, and with which version.
  probe_at timestamptz,
  probe_version text
);
insert into private.whatsapp_breaker default values;

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
      private.whatsapp_sessions, private.whatsapp_keys,
      private.whatsapp_inbox, private.whatsapp_parked_receipts, private.whatsapp_messages, private.whatsapp_downloads,
      private.whatsapp_sends, private.whatsapp_first_contacts, private.whatsapp_reads from clarin_api;
    -- Shown to operators.
    revoke insert, update, delete on private.ingest_workers, private.ingest_leases, private.kommo_pulses,
      private.whatsapp_pulses, private.whatsapp_refusals, private.whatsapp_breaker from clarin_api;
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
      private.ingest_leases, private.whatsapp_sessions, private.whatsapp_keys, private.whatsapp_inbox,
      private.whatsapp_parked_receipts, private.whatsapp_messages, private.whatsapp_downloads, private.whatsapp_sends,
      private.whatsapp_first_contacts, private.whatsapp_reads, private.whatsapp_pulses, private.whatsapp_versions, private.whatsapp_refusals,
      private.whatsapp_breaker to clarin_ingest;
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
