-- Not breaking. Locks: none that wait.
-- A new stage finds room, and an account keeps its default pipeline.

-- A stage without a position goes behind the last active one, before won and lost. A layout that was saved as a whole
-- leaves no gap there, so whatever stands behind moves on by one.
create or replace function clarin.derive_stage() returns trigger
language plpgsql as $$
begin
  if new.position is null then
    perform 1 from public.pipelines
    where account_id = new.account_id and id = new.pipeline_id
    for no key update;
    select coalesce(max(position) + 1, 0) into new.position
    from public.pipeline_stages
    where account_id = new.account_id and pipeline_id = new.pipeline_id and type = 'active';
    if exists (
      select from public.pipeline_stages
      where account_id = new.account_id and pipeline_id = new.pipeline_id and position = new.position
    ) then
      update public.pipeline_stages
      set position = position + 1
      where account_id = new.account_id and pipeline_id = new.pipeline_id and position >= new.position;
    end if;
  end if;
  if tg_op = 'UPDATE' and new.type <> old.type then
    -- Waits for leads that are being put into this stage, and makes later ones wait: their status depends on it.
    perform 1 from public.pipeline_stages where id = old.id for update;
  end if;
  return new;
end $$;

-- At most one is held by the index; at least one, while there are any, by this, when the transaction ends. Another
-- pipeline is made the default one by saying so of it.
create function clarin.check_default_pipeline() returns trigger
language plpgsql as $$
begin
  if exists (select from public.pipelines where account_id = old.account_id)
    and not exists (select from public.pipelines where account_id = old.account_id and is_default)
  then
    raise exception 'an account keeps a default pipeline: make another one the default first'
      using errcode = 'P0001', table = 'pipelines', column = 'is_default';
  end if;
  return null;
end $$;
create constraint trigger keep_default after delete or update on public.pipelines
  deferrable initially deferred
  for each row when (old.is_default) execute function clarin.check_default_pipeline();
alter table public.pipelines enable always trigger keep_default;
