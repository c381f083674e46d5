-- Not breaking. Locks: none that wait.
-- What each process may do, for installations that give each its own login: `grant clarin_api to <login>`.

-- Roles belong to the whole cluster: another database may have made them, this very moment too. Who may not create
-- roles runs every process as the owner, or asks an administrator to create them and calls clarin.grant_roles().
create function clarin.ensure_role(name text) returns void
language plpgsql as $$
begin
  if to_regrole(name) is null then
    execute format('create role %I nologin', name);
  end if;
exception
  when duplicate_object or unique_violation then
    null;
  when insufficient_privilege then
    raise notice 'role % is missing and may not be created by %', name, current_user;
end $$;

create function clarin.grant_roles() returns void
language plpgsql as $$
begin
  if to_regrole('clarin_api') is not null then
    grant usage on schema public, clarin, private to clarin_api;
    grant select, insert, update, delete on all tables in schema public to clarin_api;
    grant select, insert, update, delete on all tables in schema private to clarin_api;
    grant select on clarin.schema_migrations to clarin_api;
    alter default privileges in schema public grant select, insert, update, delete on tables to clarin_api;
  end if;
  if to_regrole('clarin_ingest') is not null then
    grant usage on schema public, clarin, private to clarin_ingest;
    grant select on public.accounts, public.memberships, public.roles to clarin_ingest;
    grant select, insert, update, delete on
      public.pipelines, public.pipeline_stages, public.contacts, public.leads, public.tags,
      public.lead_tags, public.contact_tags to clarin_ingest;
    -- Purging.
    grant select, delete on public.sessions, private.refresh_tokens, private.idempotency_keys to clarin_ingest;
    grant select on clarin.schema_migrations to clarin_ingest;
  end if;
  if to_regrole('clarin_replicator') is not null then
    -- Nothing that its slot does not show anyway, and no secrets.
    grant usage on schema public, clarin to clarin_replicator;
    grant select on
      public.accounts, public.roles, public.memberships, public.sessions, public.pipelines,
      public.pipeline_stages, public.contacts, public.leads, public.tags, public.lead_tags,
      public.contact_tags to clarin_replicator;
    grant select (id, username, email, display_name, is_active, is_super_admin, created_at, updated_at)
      on public.users to clarin_replicator;
    grant select on clarin.schema_migrations to clarin_replicator;
  end if;
end $$;

select clarin.ensure_role('clarin_api'), clarin.ensure_role('clarin_ingest'), clarin.ensure_role('clarin_replicator');
select clarin.grant_roles();

-- Nobody but the owner calls these.
revoke all on function
  clarin.ensure_role(text), clarin.grant_roles(), clarin.guard_table(regclass, text[]) from public;
