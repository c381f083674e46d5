-- Not breaking. Locks: none.
-- What a new account begins with.

-- Roles, a default pipeline and the default stage, each only where there is none of its kind: safe to call again.
create function clarin.seed_account_defaults(account bigint) returns void
language plpgsql as $$
declare
  pipeline bigint;
begin
  insert into public.roles (account_id, name, permissions)
  values
    (account, 'Administrator', '{*}'),
    (account, 'Supervisor', '{chats,contacts,leads,pipelines,tags,devices,campaigns}'),
    (account, 'Agent', '{chats,contacts,leads,tags}')
  on conflict do nothing;
  if not exists (select from public.pipelines where account_id = account) then
    insert into public.pipelines (account_id, name, is_default)
    values (account, 'Sales', true)
    returning id into pipeline;
    insert into public.pipeline_stages (account_id, pipeline_id, name, color, position)
    values
      (account, pipeline, 'New', '#0ea5e9', 0),
      (account, pipeline, 'Contacted', '#6366f1', 1),
      (account, pipeline, 'Qualified', '#a855f7', 2),
      (account, pipeline, 'Proposal', '#f59e0b', 3);
  end if;
  update public.accounts
  set default_stage_id = (
    select stage.id
    from public.pipeline_stages as stage
    join public.pipelines as pipeline on pipeline.account_id = stage.account_id and pipeline.id = stage.pipeline_id
    where stage.account_id = account and stage.type = 'active'
    order by pipeline.is_default desc, pipeline.position, stage.position
    limit 1
  )
  where id = account and default_stage_id is null;
end $$;
