-- Not breaking. Locks: none but on what it makes.
-- Schemas, the extensions that searching wants, and the trigger functions that every table shares.

-- `clarin` holds our functions and is made by run.ts; `private` holds what must never be published.
create schema private;
revoke all on schema private from public;

-- Both come with Postgres and are trusted: the owner of a database may create them. Without them searching works
-- all the same, by reading the account's rows.
do $$
begin
  create extension if not exists pg_trgm;
  create extension if not exists btree_gin;
exception
  when insufficient_privilege or undefined_file or feature_not_supported then
    raise notice 'pg_trgm and btree_gin are not available: searching will not have its indexes';
end $$;

-- updated_at is the ETag: it moves when something else did, strictly upwards, and never because a writer says so.
-- Whether something did is decided by the triggers' WHEN, not in here: a function of plpgsql that compares NEW as a
-- whole unpacks its TOASTed values for good, and every update would write them, and log them, again.
create function clarin.hold_updated_at() returns trigger
language plpgsql as $$
begin
  new.updated_at := old.updated_at;
  return new;
end $$;

create function clarin.touch_updated_at() returns trigger
language plpgsql as $$
begin
  new.updated_at := greatest(clock_timestamp(), old.updated_at + interval '1 microsecond');
  return new;
end $$;

-- Tells the replicator what a row's filter columns (the arguments) were, just before the row changes: an UPDATE in
-- the write-ahead log carries the replica identity only, and whoever watched the old value must see the row leave.
create function clarin.announce_was() returns trigger
language plpgsql as $$
declare
  old_row jsonb := to_jsonb(old);
  old_values jsonb := '{}';
  name text;
begin
  foreach name in array tg_argv loop
    old_values := old_values || jsonb_build_object(
      name,
      case jsonb_typeof(old_row -> name)
        -- As the output function prints it.
        when 'boolean' then to_jsonb(left(old_row ->> name, 1))
        else to_jsonb(old_row ->> name)
      end
    );
  end loop;
  perform pg_logical_emit_message(
    true,
    'clarin.was',
    jsonb_build_object('t', tg_table_name, 'a', old.account_id, 'id', old.id, 'v', old_values)::text
  );
  if tg_op = 'DELETE' then
    return old;
  end if;
  return new;
end $$;

-- The triggers every entity has, `enable always`: a session with session_replication_role = replica (a restore, a
-- bulk load) must not slip past them. They fire in the order of their names; `zz_` comes last on purpose.
create function clarin.guard_table(target regclass, feed_filters text[] default '{}') returns void
language plpgsql as $$
declare
  differs text;
  arguments text;
begin
  execute format(
    'create trigger hold before update on %s for each row when (old.updated_at is distinct from new.updated_at)
       execute function clarin.hold_updated_at()',
    target
  );
  -- By image and not by `is distinct from`: 0 and -0 are equal and print differently.
  execute format(
    'create trigger touch before update on %s for each row when (old.* *<> new.*)
       execute function clarin.touch_updated_at()',
    target
  );
  execute format('alter table %s enable always trigger hold', target);
  execute format('alter table %s enable always trigger touch', target);
  if cardinality(feed_filters) = 0 then
    return;
  end if;
  select string_agg(format('old.%1$I is distinct from new.%1$I', name), ' or '),
         string_agg(quote_literal(name), ', ') filter (where name <> 'account_id')
    into differs, arguments
    from unnest('{account_id}'::text[] || feed_filters) as name;
  -- Two triggers, because only an UPDATE has something to compare and a WHEN costs nothing when it is false.
  execute format(
    'create trigger zz_announce_was before update on %s for each row when (%s)
       execute function clarin.announce_was(%s)',
    target, differs, arguments
  );
  execute format(
    'create trigger zz_announce_was_delete before delete on %s for each row
       execute function clarin.announce_was(%s)',
    target, arguments
  );
  execute format('alter table %s enable always trigger zz_announce_was', target);
  execute format('alter table %s enable always trigger zz_announce_was_delete', target);
end $$;

-- An object of bounded size: custom fields and settings.
create function clarin.is_small_object(value jsonb) returns boolean
language sql immutable parallel safe as $$
  select jsonb_typeof(value) = 'object' and octet_length(value::text) <= 65536
$$;
