-- Not breaking. Locks: none that wait.
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
      private.media_removals, private.import_leases, private.kommo_tokens, private.kommo_cursors to clarin_ingest;
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
