-- Not breaking. Locks: none but on what it makes.
-- Interactions, quick replies, campaigns and imports.

create table public.interactions (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  kind text not null check (kind in ('call', 'note', 'email', 'meeting')),
  -- On a contact, on a lead, or both; a lead's contact is filled in.
  contact_id bigint not null,
  lead_id bigint,
  direction text check (direction in ('inbound', 'outbound')),
  outcome text check (char_length(outcome) <= 200),
  notes text check (char_length(notes) <= 10000),
  next_action text check (char_length(next_action) <= 500),
  next_action_at timestamptz,
  occurred_at timestamptz not null default now(),
  created_by bigint references public.users on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint interactions_identity unique (account_id, id),
  constraint interactions_contact foreign key (account_id, contact_id)
    references public.contacts (account_id, id) on delete cascade,
  constraint interactions_lead foreign key (account_id, lead_id)
    references public.leads (account_id, id) on delete set null (lead_id)
);
create index interactions_contact_id on public.interactions (account_id, contact_id, occurred_at, id);
create index interactions_lead_id on public.interactions (account_id, lead_id, occurred_at, id);
create index interactions_occurred_at on public.interactions (account_id, occurred_at, id);
create index interactions_created_at on public.interactions (account_id, created_at, id);
create index interactions_kind on public.interactions (account_id, kind);
create index interactions_created_by on public.interactions (account_id, created_by);
create index interactions_by_user on public.interactions (created_by) where created_by is not null;
create index interactions_next_action_at on public.interactions (account_id, next_action_at)
  where next_action_at is not null;
select clarin.guard_table('public.interactions', '{contact_id,lead_id}');

create function clarin.derive_interaction() returns trigger
language plpgsql as $$
begin
  if new.lead_id is not null and new.contact_id is null then
    select contact_id into new.contact_id from public.leads where account_id = new.account_id and id = new.lead_id;
  end if;
  if new.contact_id is null then
    raise exception 'an interaction is with a contact or about a lead of this account'
      using errcode = 'P0001', table = 'interactions', column = 'contact_id';
  end if;
  return new;
end $$;
create trigger derive before insert or update of contact_id, lead_id on public.interactions
  for each row execute function clarin.derive_interaction();
alter table public.interactions enable always trigger derive;

create table public.quick_replies (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  shortcut text not null check (char_length(shortcut) between 1 and 50),
  title text not null check (char_length(title) between 1 and 200),
  body text not null check (char_length(body) <= 4096),
  media_id bigint,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint quick_replies_identity unique (account_id, id),
  constraint quick_replies_media foreign key (account_id, media_id)
    references public.media (account_id, id) on delete set null (media_id)
);
create unique index quick_replies_unique_shortcut on public.quick_replies (account_id, lower(shortcut));
create index quick_replies_shortcut on public.quick_replies (account_id, shortcut, id);
create index quick_replies_title on public.quick_replies (account_id, title, id);
create index quick_replies_created_at on public.quick_replies (account_id, created_at, id);
create index quick_replies_media_id on public.quick_replies (account_id, media_id) where media_id is not null;
select clarin.guard_table('public.quick_replies');

create table public.campaigns (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  name text not null check (char_length(name) between 1 and 200),
  -- Null when the device was deleted; then it cannot run.
  device_id bigint,
  -- {{name}}, {{phone}} and each recipient's own variables.
  template text not null check (char_length(template) between 1 and 4096),
  media_id bigint,
  status text not null default 'draft'
    check (status in ('draft', 'scheduled', 'running', 'paused', 'done', 'cancelled')),
  status_reason text check (char_length(status_reason) <= 500),
  scheduled_at timestamptz,
  -- Between two messages, at random.
  delay_seconds_min integer not null default 20 check (delay_seconds_min between 0 and 3600),
  delay_seconds_max integer not null default 60 check (delay_seconds_max between 0 and 3600),
  batch_size integer not null default 50 check (batch_size between 1 and 10000),
  batch_pause_seconds integer not null default 600 check (batch_pause_seconds between 0 and 86400),
  daily_limit integer not null default 500 check (daily_limit between 1 and 100000),
  -- Of the account's time zone, HH:MM; both or neither. From later than to: over midnight.
  active_from text check (active_from ~ '^([01]\d|2[0-3]):[0-5]\d$'),
  active_to text check (active_to ~ '^([01]\d|2[0-3]):[0-5]\d$'),
  -- Kept by triggers on the recipients. `sent` counts what was sent or went further, `delivered` likewise.
  total_count integer not null default 0,
  pending_count integer not null default 0,
  claimed_count integer not null default 0,
  sent_count integer not null default 0,
  delivered_count integer not null default 0,
  read_count integer not null default 0,
  failed_count integer not null default 0,
  skipped_count integer not null default 0,
  -- Nothing is claimed before; null: there is nothing to claim.
  next_at timestamptz,
  -- How far its pace is: when it claimed last, how many since it paused, how many on the last day it did (the account's).
  last_claimed_at timestamptz,
  batch_count integer not null default 0,
  day date,
  day_count integer not null default 0,
  started_at timestamptz,
  finished_at timestamptz,
  created_by bigint references public.users on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint campaigns_identity unique (account_id, id),
  constraint campaigns_delay check (delay_seconds_min <= delay_seconds_max),
  constraint campaigns_hours check ((active_from is null) = (active_to is null)),
  constraint campaigns_device foreign key (account_id, device_id)
    references public.devices (account_id, id) on delete set null (device_id),
  constraint campaigns_media foreign key (account_id, media_id)
    references public.media (account_id, id) on delete set null (media_id)
);
create index campaigns_created_at on public.campaigns (account_id, created_at, id);
create index campaigns_name on public.campaigns (account_id, name, id);
create index campaigns_status on public.campaigns (account_id, status);
create index campaigns_device_id on public.campaigns (account_id, device_id);
create index campaigns_media_id on public.campaigns (account_id, media_id) where media_id is not null;
create index campaigns_created_by on public.campaigns (created_by) where created_by is not null;
-- What a worker looks for.
create index campaigns_due on public.campaigns (next_at) where status in ('scheduled', 'running');
create index campaigns_cancelled on public.campaigns (id) where status = 'cancelled' and pending_count > 0;
select clarin.guard_table('public.campaigns', '{device_id}');

-- Whoever settles the last recipient, its campaign is done; and one that runs and is given another goes on.
create function clarin.derive_campaign() returns trigger
language plpgsql as $$
begin
  if new.pending_count > 0 then
    new.next_at := coalesce(new.next_at, clock_timestamp());
  elsif new.claimed_count = 0 and old.pending_count + old.claimed_count > 0 then
    new.status := 'done';
    new.status_reason := null;
    new.next_at := null;
    new.finished_at := clock_timestamp();
  end if;
  return new;
end $$;
create trigger derive before update on public.campaigns
  for each row when (new.status = 'running') execute function clarin.derive_campaign();
alter table public.campaigns enable always trigger derive;

create table public.campaign_recipients (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  campaign_id bigint not null,
  contact_id bigint not null,
  device_id bigint,
  variables jsonb not null default '{}' check (clarin.is_small_object(variables)),
  -- Claimed before its message is written: a crash never sends twice.
  status text not null default 'pending'
    check (status in ('pending', 'claimed', 'sent', 'delivered', 'read', 'failed', 'skipped')),
  error text check (char_length(error) <= 500),
  chat_id bigint,
  message_id bigint,
  claimed_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint campaign_recipients_identity unique (account_id, id, campaign_id),
  constraint campaign_recipients_contact unique (account_id, campaign_id, contact_id),
  constraint campaign_recipients_campaign foreign key (account_id, campaign_id)
    references public.campaigns (account_id, id) on delete cascade,
  constraint campaign_recipients_of_contact foreign key (account_id, contact_id)
    references public.contacts (account_id, id) on delete cascade
);
create index campaign_recipients_status on public.campaign_recipients (account_id, campaign_id, status, id);
create index campaign_recipients_campaign_id on public.campaign_recipients (account_id, campaign_id, created_at, id);
create index campaign_recipients_of_contact on public.campaign_recipients (account_id, contact_id);
create index campaign_recipients_created_at on public.campaign_recipients (account_id, created_at, id);
create index campaign_recipients_by_status on public.campaign_recipients (account_id, status);
create index campaign_recipients_message_id on public.campaign_recipients (account_id, message_id)
  where message_id is not null;
-- No conversation gets two messages of one campaign, whoever claims.
create unique index campaign_recipients_chat_id on public.campaign_recipients (account_id, campaign_id, chat_id)
  where chat_id is not null;
create index campaign_recipients_claimed_at on public.campaign_recipients (account_id, campaign_id, claimed_at)
  where claimed_at is not null;
select clarin.guard_table('public.campaign_recipients', '{campaign_id,device_id}');

create function clarin.derive_recipient() returns trigger
language plpgsql as $$
begin
  select device_id into new.device_id from public.campaigns
  where account_id = new.account_id and id = new.campaign_id;
  return new;
end $$;
create trigger derive before insert on public.campaign_recipients
  for each row execute function clarin.derive_recipient();
alter table public.campaign_recipients enable always trigger derive;

-- Who waits for a campaign waits for its device; who was written to stays with the one it was written by.
create function clarin.carry_campaign_device() returns trigger
language plpgsql as $$
begin
  update public.campaign_recipients
  set device_id = new.device_id
  where account_id = new.account_id and campaign_id = new.id and status = 'pending'
    and device_id is distinct from new.device_id;
  return null;
end $$;
create trigger carry_device after update on public.campaigns
  for each row when (new.device_id is not null and old.device_id is distinct from new.device_id)
  execute function clarin.carry_campaign_device();
alter table public.campaigns enable always trigger carry_device;

-- So many more of a campaign's recipients (or fewer) are in this state.
create type clarin.recipient_step as (account_id bigint, campaign_id bigint, status text, step integer);

-- One update per campaign and statement, from what the statement changed: its cost does not grow with the campaign. The
-- additions are of numbers that are locked, in the order of their ids: concurrent writers neither miss each other nor deadlock.
create function clarin.count_recipients() returns trigger
language plpgsql as $$
declare
  steps clarin.recipient_step[];
begin
  case tg_op
    when 'INSERT' then
      steps := array(
        select row (account_id, campaign_id, status, count(*))::clarin.recipient_step
        from added
        group by account_id, campaign_id, status
      );
    when 'DELETE' then
      steps := array(
        select row (account_id, campaign_id, status, -count(*))::clarin.recipient_step
        from removed
        group by account_id, campaign_id, status
      );
    else
      steps := array(
        select row (account_id, campaign_id, status, sum(step))::clarin.recipient_step
        from (
          select account_id, campaign_id, status, 1 as step from added
          union all
          select account_id, campaign_id, status, -1 from removed
        ) as moved
        group by account_id, campaign_id, status
        having sum(step) <> 0
      );
  end case;
  if cardinality(steps) = 0 then
    return null;
  end if;
  perform 1
  from public.campaigns
  where (account_id, id) in (select account_id, campaign_id from unnest(steps))
  order by id
  for no key update;
  update public.campaigns as campaign
  set total_count = campaign.total_count + counted.total,
    pending_count = campaign.pending_count + counted.pending,
    claimed_count = campaign.claimed_count + counted.claimed,
    sent_count = campaign.sent_count + counted.sent,
    delivered_count = campaign.delivered_count + counted.delivered,
    read_count = campaign.read_count + counted.read,
    failed_count = campaign.failed_count + counted.failed,
    skipped_count = campaign.skipped_count + counted.skipped
  from (
    select account_id, campaign_id, sum(step) as total,
      coalesce(sum(step) filter (where status = 'pending'), 0) as pending,
      coalesce(sum(step) filter (where status = 'claimed'), 0) as claimed,
      coalesce(sum(step) filter (where status in ('sent', 'delivered', 'read')), 0) as sent,
      coalesce(sum(step) filter (where status in ('delivered', 'read')), 0) as delivered,
      coalesce(sum(step) filter (where status = 'read'), 0) as read,
      coalesce(sum(step) filter (where status = 'failed'), 0) as failed,
      coalesce(sum(step) filter (where status = 'skipped'), 0) as skipped
    from unnest(steps)
    group by account_id, campaign_id
  ) as counted
  where campaign.account_id = counted.account_id and campaign.id = counted.campaign_id;
  return null;
end $$;
create trigger count_in after insert on public.campaign_recipients
  referencing new table as added
  for each statement execute function clarin.count_recipients();
create trigger count_out after delete on public.campaign_recipients
  referencing old table as removed
  for each statement execute function clarin.count_recipients();
create trigger count_changed after update on public.campaign_recipients
  referencing old table as removed new table as added
  for each statement execute function clarin.count_recipients();
alter table public.campaign_recipients enable always trigger count_in;
alter table public.campaign_recipients enable always trigger count_out;
alter table public.campaign_recipients enable always trigger count_changed;

-- A recipient is where its message is.
create function clarin.carry_message_status() returns trigger
language plpgsql as $$
begin
  update public.campaign_recipients
  set status = case new.status when 'played' then 'read' else new.status end,
    error = case new.status when 'failed' then new.error end
  where account_id = new.account_id and message_id = new.id
    and status <> case new.status when 'played' then 'read' else new.status end;
  return null;
end $$;
create trigger carry_status after update on public.messages
  for each row when (
    new.is_from_me and old.status <> new.status
    and new.status in ('sent', 'delivered', 'read', 'played', 'failed')
  ) execute function clarin.carry_message_status();
alter table public.messages enable always trigger carry_status;

-- A message that went before it was sent (its chat was deleted) will never be.
create function clarin.fail_recipient() returns trigger
language plpgsql as $$
begin
  update public.campaign_recipients
  set status = 'failed', error = 'Its message was deleted before it was sent.'
  where account_id = old.account_id and message_id = old.id and status = 'claimed';
  return null;
end $$;
create trigger fail_recipient after delete on public.messages
  for each row when (old.is_from_me and old.status in ('pending', 'sending')) execute function clarin.fail_recipient();
alter table public.messages enable always trigger fail_recipient;

-- A CSV import: the file is in the media store, a worker reads it and says here how far it is.
create table public.imports (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  filename text not null check (char_length(filename) between 1 and 255),
  object_key text not null check (char_length(object_key) <= 200),
  size integer not null check (size >= 0),
  encoding text not null check (encoding in ('utf-8', 'windows-1252')),
  separator text not null check (separator in (',', ';', E'\t')),
  mapping jsonb not null check (clarin.is_small_object(mapping)),
  -- How phone numbers without a country code are read; null: as the account's.
  country text check (country ~ '^[A-Z]{2}$'),
  is_dry_run boolean not null default false,
  state text not null default 'pending' check (state in ('pending', 'running', 'done', 'failed', 'cancelled')),
  error text check (char_length(error) <= 500),
  -- Rows of the file that are settled: where a worker goes on after a crash. Moves with the rows it counts.
  processed_count integer not null default 0,
  created_count integer not null default 0,
  updated_count integer not null default 0,
  unchanged_count integer not null default 0,
  failed_count integer not null default 0,
  -- Of the file's `size` bytes.
  processed_bytes integer not null default 0,
  started_at timestamptz,
  finished_at timestamptz,
  created_by bigint references public.users on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint imports_identity unique (account_id, id)
);
create index imports_created_at on public.imports (account_id, created_at, id);
create index imports_state on public.imports (account_id, state);
create index imports_open on public.imports (id) where state in ('pending', 'running');
create index imports_created_by on public.imports (created_by) where created_by is not null;
select clarin.guard_table('public.imports');
create trigger remove_object after delete on public.imports
  for each row when (old.finished_at is null) execute function clarin.remove_media_object();
alter table public.imports enable always trigger remove_object;

-- What was wrong with which line; the first thousand of an import are kept, all are counted.
create table public.import_errors (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  import_id bigint not null,
  line integer not null check (line >= 1),
  field text check (char_length(field) <= 200),
  message text not null check (char_length(message) <= 500),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint import_errors_identity unique (account_id, id, import_id),
  constraint import_errors_import foreign key (account_id, import_id)
    references public.imports (account_id, id) on delete cascade
);
create index import_errors_import_id on public.import_errors (account_id, import_id, line, id);
create index import_errors_line on public.import_errors (account_id, line, id);
create index import_errors_created_at on public.import_errors (account_id, created_at, id);
select clarin.guard_table('public.import_errors', '{import_id}');

-- Which import a worker is at; a row whose time is over belongs to nobody.
create table private.import_leases (
  import_id bigint primary key references public.imports (id) on delete cascade,
  worker text not null check (char_length(worker) <= 100),
  expires_at timestamptz not null
);
