-- Not breaking. Locks: access exclusive on roles, for an instant; contacts are not written while their identities are copied.
-- WhatsApp numbers, who may use which, and every address that resolves to a contact.

-- Null: all devices of the account. A device that is deleted leaves it, by a trigger.
alter table public.roles add column device_ids bigint[]
  check (coalesce(array_ndims(device_ids), 1) = 1 and cardinality(device_ids) <= 1000
    and array_position(device_ids, null) is null);

create table public.devices (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  name text not null check (char_length(name) between 1 and 100),
  phone text check (char_length(phone) <= 32),
  jid text check (char_length(jid) <= 128),
  status text not null default 'disconnected'
    check (status in ('disconnected', 'pairing', 'connecting', 'connected', 'logged_out', 'banned')),
  status_reason text check (char_length(status_reason) <= 500),
  -- What people want of it; the worker that holds the device makes it so. The API never talks to WhatsApp.
  wanted text not null default 'disconnected' check (wanted in ('disconnected', 'connected', 'logged_out')),
  last_seen_at timestamptz,
  receive_messages boolean not null default true,
  platform text check (char_length(platform) <= 100),
  pushname text check (char_length(pushname) <= 200),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint devices_identity unique (account_id, id),
  constraint devices_jid unique (account_id, jid)
);
create index devices_name on public.devices (account_id, name, id);
create index devices_created_at on public.devices (account_id, created_at, id);
create index devices_status on public.devices (account_id, status);
select clarin.guard_table('public.devices', '{id}');

-- An account has as many devices as its plan says.
create function clarin.check_device_limit() returns trigger
language plpgsql as $$
declare
  allowed integer;
begin
  -- Two that come at once must not both find room.
  select max_devices into allowed from public.accounts where id = new.account_id for no key update;
  if (select count(*) from public.devices where account_id = new.account_id) >= allowed then
    raise exception 'the account has all the devices it may have (%)', allowed
      using errcode = 'P0001', table = 'devices', column = 'account_id';
  end if;
  return new;
end $$;
create trigger limit_devices before insert on public.devices
  for each row execute function clarin.check_device_limit();
alter table public.devices enable always trigger limit_devices;

-- Messages go on naming a device that is deleted: no role sees them by it any more, as it does not see their chat.
create function clarin.forget_device() returns trigger
language plpgsql as $$
begin
  update public.roles
  set device_ids = array_remove(device_ids, old.id)
  where account_id = old.account_id and old.id = any (device_ids);
  return null;
end $$;
create trigger forget_device after delete on public.devices
  for each row execute function clarin.forget_device();
alter table public.devices enable always trigger forget_device;

-- A pairing under way: asked for by the API, the code written by the device's worker, gone when it is over.
create table public.device_pairings (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  device_id bigint not null,
  kind text not null check (kind in ('qr', 'code')),
  -- Whom to send the code to; pairing by code only.
  phone text check (char_length(phone) <= 32),
  code text check (char_length(code) <= 1000),
  expires_at timestamptz not null default now() + interval '3 minutes',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint device_pairings_identity unique (account_id, id, device_id),
  constraint device_pairings_device unique (account_id, device_id),
  constraint device_pairings_kind check (kind = 'qr' or phone is not null),
  constraint device_pairings_of_device foreign key (account_id, device_id)
    references public.devices (account_id, id) on delete cascade
);
create index device_pairings_created_at on public.device_pairings (account_id, created_at, id);
create index device_pairings_expires_at on public.device_pairings (expires_at);
select clarin.guard_table('public.device_pairings', '{device_id}');

-- One number, whichever way it is dialled: Mexico's 52 1, Argentina's 54 9 and Brazil's ninth digit are left out.
-- domain/phone.ts says the same; a test compares them.
create function clarin.phone_key(phone text) returns text
language sql immutable parallel safe as $$
  select case
    when phone ~ '^521\d{10}$' then '52' || substr(phone, 4)
    when phone ~ '^549\d{10}$' then '54' || substr(phone, 4)
    when phone ~ '^55\d{2}9[6-9]\d{7}$' then '55' || substr(phone, 3, 2) || substr(phone, 6)
    else phone
  end
$$;
-- Two contacts of one number, however each was typed.
create index contacts_phone_key on public.contacts (account_id, clarin.phone_key(phone)) where phone is not null;
create index contacts_email_key on public.contacts (account_id, lower(email)) where email is not null;

create table public.contact_identities (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  contact_id bigint not null,
  kind text not null check (kind in ('jid', 'lid', 'phone', 'kommo')),
  -- Of a phone, its key.
  value text not null check (char_length(value) between 1 and 128),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint contact_identities_identity unique (account_id, id, contact_id),
  constraint contact_identities_value unique (account_id, kind, value),
  constraint contact_identities_contact foreign key (account_id, contact_id)
    references public.contacts (account_id, id) on delete cascade
);
create index contact_identities_contact_id on public.contact_identities (account_id, contact_id);
create index contact_identities_created_at on public.contact_identities (account_id, created_at, id);
select clarin.guard_table('public.contact_identities', '{contact_id}');

-- Whoever writes a contact, its addresses resolve to it; the first one keeps an address that two claim.
create function clarin.keep_identities() returns trigger
language plpgsql as $$
begin
  if tg_op = 'UPDATE' then
    -- An address that was corrected no longer resolves; one that came by a merge stays.
    delete from public.contact_identities
    where account_id = old.account_id and contact_id = old.id and (
      (kind = 'jid' and value = old.jid and old.jid is distinct from new.jid)
      or (kind = 'lid' and value = old.lid and old.lid is distinct from new.lid)
      or (kind = 'phone' and value = clarin.phone_key(old.phone)
        and clarin.phone_key(old.phone) is distinct from clarin.phone_key(new.phone))
      or (kind = 'kommo' and value = old.kommo_id::text and old.kommo_id is distinct from new.kommo_id)
    );
  end if;
  insert into public.contact_identities (account_id, contact_id, kind, value)
  select new.account_id, new.id, wanted.kind, wanted.value
  from (values
    ('jid', new.jid), ('lid', new.lid), ('phone', clarin.phone_key(new.phone)), ('kommo', new.kommo_id::text)
  ) as wanted (kind, value)
  where wanted.value <> ''
  on conflict (account_id, kind, value) do nothing;
  return null;
end $$;
create trigger identities after insert on public.contacts
  for each row when (
    new.jid is not null or new.lid is not null or new.phone is not null or new.kommo_id is not null
  ) execute function clarin.keep_identities();
create trigger identities_changed after update on public.contacts
  for each row when (
    (old.jid, old.lid, old.phone, old.kommo_id) is distinct from (new.jid, new.lid, new.phone, new.kommo_id)
  ) execute function clarin.keep_identities();
alter table public.contacts enable always trigger identities;
alter table public.contacts enable always trigger identities_changed;

-- An address that its contact gives up or takes along passes to the next contact that has it, or it would resolve to
-- nobody while somebody has it.
create index contacts_lid on public.contacts (account_id, lid) where lid is not null;
create function clarin.hand_over_identity() returns trigger
language plpgsql as $$
begin
  -- An account that is deleted needs no heirs; a contact that is being deleted is none, and nobody waits for it.
  insert into public.contact_identities (account_id, contact_id, kind, value)
  select heir.account_id, heir.id, old.kind, old.value
  from (
    select id from public.contacts
    where old.kind = 'jid' and account_id = old.account_id and jid = old.value
    union all
    select id from public.contacts
    where old.kind = 'lid' and account_id = old.account_id and lid = old.value
    union all
    select id from public.contacts
    where old.kind = 'phone' and account_id = old.account_id and phone is not null
      and clarin.phone_key(phone) = old.value
    union all
    select id from public.contacts
    where account_id = old.account_id
      and kommo_id = case when old.kind = 'kommo' and old.value ~ '^\d{1,18}$' then old.value::bigint end
  ) as claimant
  join public.contacts as heir on heir.account_id = old.account_id and heir.id = claimant.id
  where exists (select from public.accounts where id = old.account_id)
  order by heir.id
  limit 1
  for key share of heir skip locked
  on conflict (account_id, kind, value) do nothing;
  return null;
end $$;
create trigger hand_over after delete on public.contact_identities
  for each row execute function clarin.hand_over_identity();
alter table public.contact_identities enable always trigger hand_over;

insert into public.contact_identities (account_id, contact_id, kind, value)
select contact.account_id, contact.id, wanted.kind, wanted.value
from public.contacts as contact
cross join lateral (values
  ('jid', contact.jid), ('lid', contact.lid), ('phone', clarin.phone_key(contact.phone)), ('kommo', contact.kommo_id::text)
) as wanted (kind, value)
where wanted.value <> ''
order by contact.id
on conflict (account_id, kind, value) do nothing;

-- A device that knows a contact, and what its address book calls it.
create table public.contact_device_names (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  contact_id bigint not null,
  device_id bigint not null,
  name text check (char_length(name) <= 200),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint contact_device_names_identity unique (account_id, id, contact_id),
  constraint contact_device_names_link unique (account_id, contact_id, device_id),
  constraint contact_device_names_contact foreign key (account_id, contact_id)
    references public.contacts (account_id, id) on delete cascade,
  constraint contact_device_names_device foreign key (account_id, device_id)
    references public.devices (account_id, id) on delete cascade
);
create index contact_device_names_device_id on public.contact_device_names (account_id, device_id, contact_id);
create index contact_device_names_created_at on public.contact_device_names (account_id, created_at, id);
select clarin.guard_table('public.contact_device_names', '{contact_id,device_id}');
