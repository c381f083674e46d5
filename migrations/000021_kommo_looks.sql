-- Not breaking. Locks: access exclusive on private.kommo_leads, kommo_contacts and kommo_tags, for an instant.
-- What Kommo last said of a row, as far as it must be known to take it back: what it never said is people's.

alter table private.kommo_contacts
  -- Columns, phones (by key) and custom fields that the last look had: 'email', 'phone:51987654321', 'field:Age'.
  add column given text[] not null default '{}';

alter table private.kommo_leads
  add column given text[] not null default '{}',
  -- Who of ours was responsible.
  add column assigned_to bigint,
  -- When we archived it or put it into the trash; null where people had done so already.
  add column archived_at timestamptz,
  add column trashed_at timestamptz,
  -- It has no contact over there: the contact that was made for it. May be gone since.
  add column placeholder_id bigint,
  -- Its stage was not known when it was written: asked for again as soon as stages appear.
  add column is_misplaced boolean not null default false;
create index kommo_leads_misplaced on private.kommo_leads (connection_id, kommo_id) where is_misplaced;

-- What Kommo calls a tag: ours is renamed when this is, and what people call it stays.
alter table private.kommo_tags add column name text not null;

-- A row's custom fields when Kommo's change: those it no longer has (`gone`) go, those it has come, people's stay. Where
-- all of it would be too large, people's stay alone.
create function clarin.take_fields(stored jsonb, gone text[], given jsonb) returns jsonb
language sql immutable parallel safe as $$
  select case
    when clarin.is_small_object((stored - gone) || given) then (stored - gone) || given
    else stored - gone
  end
$$;
