-- Not breaking. Locks: access exclusive on accounts, for an instant.
-- Pipelines and their stages.

create table public.pipelines (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  name text not null check (char_length(name) between 1 and 200),
  position integer not null check (position >= 0),
  is_default boolean not null default false,
  kommo_id bigint,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint pipelines_identity unique (account_id, id),
  -- Deferred: a new order is written row by row, and only the end of the transaction has to be in order.
  constraint pipelines_position unique (account_id, position) deferrable initially deferred,
  constraint pipelines_kommo_id unique (account_id, kommo_id)
);
create unique index pipelines_one_default on public.pipelines (account_id) where is_default;
create index pipelines_name on public.pipelines (account_id, name, id);
create index pipelines_created_at on public.pipelines (account_id, created_at, id);
create index pipelines_order on public.pipelines (account_id, position, id);
select clarin.guard_table('public.pipelines');

create table public.pipeline_stages (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  pipeline_id bigint not null,
  name text not null check (char_length(name) between 1 and 200),
  color text not null default '#64748b' check (color ~ '^#[0-9a-fA-F]{6}$'),
  type text not null default 'active' check (type in ('active', 'won', 'lost')),
  position integer not null check (position >= 0),
  kommo_id bigint,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint pipeline_stages_identity unique (account_id, id),
  -- What a lead points to: its pipeline and its stage together.
  constraint pipeline_stages_of_pipeline unique (account_id, pipeline_id, id),
  constraint pipeline_stages_position unique (account_id, pipeline_id, position) deferrable initially deferred,
  constraint pipeline_stages_kommo_id unique (account_id, pipeline_id, kommo_id),
  constraint pipeline_stages_pipeline foreign key (account_id, pipeline_id)
    references public.pipelines (account_id, id) on delete cascade
);
create unique index pipeline_stages_one_won on public.pipeline_stages (account_id, pipeline_id) where type = 'won';
create unique index pipeline_stages_one_lost on public.pipeline_stages (account_id, pipeline_id) where type = 'lost';
create index pipeline_stages_order on public.pipeline_stages (account_id, position, id);
create index pipeline_stages_name on public.pipeline_stages (account_id, name, id);
create index pipeline_stages_created_at on public.pipeline_stages (account_id, created_at, id);
select clarin.guard_table('public.pipeline_stages', '{pipeline_id}');

alter table public.accounts add constraint accounts_default_stage
  foreign key (id, default_stage_id) references public.pipeline_stages (account_id, id)
  on delete set null (default_stage_id);

-- A pipeline without a position goes to the end; a new default takes the place of the old one.
create function clarin.derive_pipeline() returns trigger
language plpgsql as $$
begin
  if new.position is null then
    -- Two that come at once must not choose the same place.
    perform 1 from public.accounts where id = new.account_id for no key update;
    select coalesce(max(position) + 1, 0) into new.position
    from public.pipelines
    where account_id = new.account_id;
  end if;
  if new.is_default then
    update public.pipelines
    set is_default = false
    where account_id = new.account_id and is_default and id <> new.id;
  end if;
  return new;
end $$;
create trigger derive before insert or update on public.pipelines
  for each row execute function clarin.derive_pipeline();
alter table public.pipelines enable always trigger derive;

-- Every pipeline begins with its won and its lost stage. Rename and recolour them; there is no second one.
create function clarin.add_pipeline_ends() returns trigger
language plpgsql as $$
begin
  insert into public.pipeline_stages (account_id, pipeline_id, name, color, type, position)
  values
    (new.account_id, new.id, 'Won', '#22c55e', 'won', 10000),
    (new.account_id, new.id, 'Lost', '#ef4444', 'lost', 10001);
  return null;
end $$;
create trigger add_ends after insert on public.pipelines
  for each row execute function clarin.add_pipeline_ends();
alter table public.pipelines enable always trigger add_ends;

-- A stage without a position goes behind the last active one, before won and lost.
create function clarin.derive_stage() returns trigger
language plpgsql as $$
begin
  if new.position is null then
    perform 1 from public.pipelines
    where account_id = new.account_id and id = new.pipeline_id
    for no key update;
    select coalesce(max(position) + 1, 0) into new.position
    from public.pipeline_stages
    where account_id = new.account_id and pipeline_id = new.pipeline_id and type = 'active';
  end if;
  if tg_op = 'UPDATE' and new.type <> old.type then
    -- Waits for leads that are being put into this stage, and makes later ones wait: their status depends on it.
    perform 1 from public.pipeline_stages where id = old.id for update;
  end if;
  return new;
end $$;
create trigger derive before insert or update on public.pipeline_stages
  for each row execute function clarin.derive_stage();
alter table public.pipeline_stages enable always trigger derive;

-- At most one is held by the indexes, at least one by this, when the transaction ends.
create function clarin.check_pipeline_ends() returns trigger
language plpgsql as $$
declare
  ends bigint;
begin
  perform 1 from public.pipelines where account_id = old.account_id and id = old.pipeline_id;
  if not found then
    return null;
  end if;
  select count(*) into ends
  from public.pipeline_stages
  where account_id = old.account_id and pipeline_id = old.pipeline_id and type in ('won', 'lost');
  if ends <> 2 then
    raise exception 'a pipeline keeps one won and one lost stage' using errcode = 'P0001';
  end if;
  return null;
end $$;
create constraint trigger keep_ends after delete or update on public.pipeline_stages
  deferrable initially deferred
  for each row when (old.type in ('won', 'lost')) execute function clarin.check_pipeline_ends();
alter table public.pipeline_stages enable always trigger keep_ends;
