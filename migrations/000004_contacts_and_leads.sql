-- Not breaking. Locks: none but on what it makes.
-- Contacts, leads, tags and their links.

create table public.contacts (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  jid text check (char_length(jid) <= 128),
  lid text check (char_length(lid) <= 128),
  phone text check (char_length(phone) <= 32),
  name text check (char_length(name) <= 200),
  push_name text check (char_length(push_name) <= 200),
  custom_name text check (char_length(custom_name) <= 200),
  last_name text check (char_length(last_name) <= 200),
  short_name text check (char_length(short_name) <= 100),
  display_name text not null,
  email text check (char_length(email) <= 254),
  company text check (char_length(company) <= 200),
  age integer check (age between 0 and 150),
  notes text check (char_length(notes) <= 10000),
  avatar_url text check (char_length(avatar_url) <= 2048),
  is_group boolean not null default false,
  source text check (char_length(source) <= 100),
  do_not_contact boolean not null default false,
  do_not_contact_at timestamptz,
  do_not_contact_by bigint references public.users on delete set null,
  do_not_contact_reason text check (char_length(do_not_contact_reason) <= 500),
  custom_fields jsonb not null default '{}' check (clarin.is_small_object(custom_fields)),
  kommo_id bigint,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint contacts_identity unique (account_id, id),
  constraint contacts_jid unique (account_id, jid),
  constraint contacts_kommo_id unique (account_id, kommo_id)
);
create index contacts_created_at on public.contacts (account_id, created_at, id);
create index contacts_updated_at on public.contacts (account_id, updated_at, id);
create index contacts_display_name on public.contacts (account_id, display_name, id);
create index contacts_phone on public.contacts (account_id, phone);
create index contacts_source on public.contacts (account_id, source);
create index contacts_groups on public.contacts (account_id, id) where is_group;
create index contacts_do_not_contact on public.contacts (account_id, id) where do_not_contact;
create index contacts_do_not_contact_by on public.contacts (do_not_contact_by) where do_not_contact_by is not null;
select clarin.guard_table('public.contacts');

-- display_name would be a generated column, but Postgres 15 does not replicate those.
create function clarin.derive_contact() returns trigger
language plpgsql as $$
begin
  new.display_name := left(coalesce(
    nullif(btrim(new.custom_name), ''),
    nullif(btrim(new.name), ''),
    nullif(btrim(new.push_name), ''),
    nullif(btrim(new.phone), ''),
    nullif(btrim(new.jid), ''),
    ''
  ), 200);
  if new.do_not_contact then
    new.do_not_contact_at := coalesce(new.do_not_contact_at, clock_timestamp());
  else
    new.do_not_contact_at := null;
    new.do_not_contact_by := null;
    new.do_not_contact_reason := null;
  end if;
  return new;
end $$;
create trigger derive before insert or update on public.contacts
  for each row execute function clarin.derive_contact();
alter table public.contacts enable always trigger derive;

create table public.leads (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  contact_id bigint not null,
  title text not null check (char_length(title) between 1 and 300),
  -- NaN is greater than every number, so the upper bound refuses it too.
  value numeric(14,2) not null default 0 check (value between 0 and 999999999999.99),
  currency text not null default 'USD' check (currency ~ '^[A-Z]{3}$'),
  status text not null default 'open' check (status in ('open', 'won', 'lost')),
  pipeline_id bigint not null,
  stage_id bigint not null,
  position double precision not null default extract(epoch from clock_timestamp())::double precision
    check (position > '-Infinity' and position < 'Infinity'),
  assigned_to bigint,
  source text check (char_length(source) <= 100),
  notes text check (char_length(notes) <= 10000),
  custom_fields jsonb not null default '{}' check (clarin.is_small_object(custom_fields)),
  close_reason text check (char_length(close_reason) <= 500),
  closed_at timestamptz,
  archived_at timestamptz,
  deleted_at timestamptz,
  kommo_id bigint,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint leads_identity unique (account_id, id),
  constraint leads_kommo_id unique (account_id, kommo_id),
  constraint leads_contact foreign key (account_id, contact_id) references public.contacts (account_id, id),
  constraint leads_stage foreign key (account_id, pipeline_id, stage_id)
    references public.pipeline_stages (account_id, pipeline_id, id),
  constraint leads_assigned_to foreign key (account_id, assigned_to)
    references public.memberships (account_id, user_id) on delete set null (assigned_to)
);
create index leads_created_at on public.leads (account_id, created_at, id);
-- The list as it is opened: neither archived nor in the trash, newest first. Counting it reads nothing else.
create index leads_live on public.leads (account_id, created_at, id) where archived_at is null and deleted_at is null;
-- The board: counts per stage and first leads per stage, both from the index.
create index leads_board on public.leads (account_id, stage_id, position, id)
  where archived_at is null and deleted_at is null;
create index leads_updated_at on public.leads (account_id, updated_at, id);
create index leads_title on public.leads (account_id, title, id);
create index leads_value on public.leads (account_id, value, id);
create index leads_position on public.leads (account_id, position, id);
create index leads_pipeline on public.leads (account_id, pipeline_id, stage_id);
create index leads_contact_id on public.leads (account_id, contact_id);
create index leads_assigned_to on public.leads (account_id, assigned_to);
create index leads_status on public.leads (account_id, status);
create index leads_source on public.leads (account_id, source);
create index leads_archived_at on public.leads (account_id, archived_at) where archived_at is not null;
create index leads_deleted_at on public.leads (account_id, deleted_at) where deleted_at is not null;
select clarin.guard_table('public.leads', '{pipeline_id,stage_id,assigned_to,contact_id}');

-- The stage decides: pipeline, status and closed_at follow it. Whoever names no stage gets the account's default.
create function clarin.derive_lead() returns trigger
language plpgsql as $$
declare
  stage record;
begin
  if tg_op = 'UPDATE' then
    if (new.account_id, new.stage_id, new.status) is not distinct from (old.account_id, old.stage_id, old.status)
      and new.closed_at is not distinct from old.closed_at
    then
      return new;
    end if;
  elsif new.stage_id is null then
    select default_stage_id into new.stage_id from public.accounts where id = new.account_id;
    if new.stage_id is null then
      raise exception 'the account has no default stage: name a stage_id, or set its default_stage_id'
        using errcode = 'P0001', table = 'leads', column = 'stage_id';
    end if;
  end if;
  -- Key share, as the foreign key takes it a moment later: a stage whose type is changing is waited for.
  select pipeline_id, type into stage
  from public.pipeline_stages
  where account_id = new.account_id and id = new.stage_id
  for key share;
  if not found then
    raise exception 'there is no stage % in this account', new.stage_id
      using errcode = 'P0001', table = 'leads', column = 'stage_id';
  end if;
  if tg_op = 'INSERT' then
    new.pipeline_id := coalesce(new.pipeline_id, stage.pipeline_id);
  elsif new.pipeline_id = old.pipeline_id then
    new.pipeline_id := stage.pipeline_id;
  end if;
  new.status := case stage.type when 'active' then 'open' else stage.type end;
  if new.status = 'open' then
    new.closed_at := null;
    if tg_op = 'UPDATE' and old.status <> 'open' and new.close_reason is not distinct from old.close_reason then
      new.close_reason := null;
    end if;
  elsif tg_op = 'UPDATE' and new.status <> old.status and new.closed_at is not distinct from old.closed_at then
    new.closed_at := clock_timestamp();
  else
    new.closed_at := coalesce(new.closed_at, clock_timestamp());
  end if;
  return new;
end $$;
create trigger derive before insert or update on public.leads
  for each row execute function clarin.derive_lead();
alter table public.leads enable always trigger derive;

create function clarin.carry_stage_type() returns trigger
language plpgsql as $$
begin
  update public.leads
  set status = case new.type when 'active' then 'open' else new.type end
  where account_id = new.account_id and stage_id = new.id;
  return null;
end $$;
create trigger carry_type after update on public.pipeline_stages
  for each row when (old.type is distinct from new.type) execute function clarin.carry_stage_type();
alter table public.pipeline_stages enable always trigger carry_type;

create table public.tags (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  name text not null check (char_length(name) between 1 and 100),
  color text not null default '#64748b' check (color ~ '^#[0-9a-fA-F]{6}$'),
  kommo_id bigint,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint tags_identity unique (account_id, id),
  constraint tags_kommo_id unique (account_id, kommo_id)
);
create unique index tags_unique_name on public.tags (account_id, lower(name));
create index tags_name on public.tags (account_id, name, id);
create index tags_created_at on public.tags (account_id, created_at, id);
select clarin.guard_table('public.tags');

create table public.lead_tags (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  lead_id bigint not null,
  tag_id bigint not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  -- The identity names both ends, so that a delete says which tag left which lead.
  constraint lead_tags_identity unique (account_id, id, lead_id, tag_id),
  constraint lead_tags_link unique (account_id, lead_id, tag_id),
  constraint lead_tags_lead foreign key (account_id, lead_id)
    references public.leads (account_id, id) on delete cascade,
  constraint lead_tags_tag foreign key (account_id, tag_id)
    references public.tags (account_id, id) on delete cascade
);
create index lead_tags_tag_id on public.lead_tags (account_id, tag_id, lead_id);
select clarin.guard_table('public.lead_tags', '{lead_id}');

create table public.contact_tags (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  contact_id bigint not null,
  tag_id bigint not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint contact_tags_identity unique (account_id, id, contact_id, tag_id),
  constraint contact_tags_link unique (account_id, contact_id, tag_id),
  constraint contact_tags_contact foreign key (account_id, contact_id)
    references public.contacts (account_id, id) on delete cascade,
  constraint contact_tags_tag foreign key (account_id, tag_id)
    references public.tags (account_id, id) on delete cascade
);
create index contact_tags_tag_id on public.contact_tags (account_id, tag_id, contact_id);
select clarin.guard_table('public.contact_tags', '{contact_id}');

-- Searching anywhere in a text; the account comes first, so that one account's search never walks another's rows.
do $$
begin
  create index contacts_search on public.contacts using gin (
    account_id, display_name gin_trgm_ops, phone gin_trgm_ops, email gin_trgm_ops, company gin_trgm_ops
  );
  create index leads_search on public.leads using gin (account_id, title gin_trgm_ops);
exception
  when undefined_object then
    raise notice 'searching has no indexes: pg_trgm and btree_gin were not available';
end $$;
