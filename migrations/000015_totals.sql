-- Not breaking. Locks: leads are not written while their index is built.
-- What the dashboard counts.

-- Leads per stage with what they are worth, from the index alone. The stage decides the status.
create index leads_totals on public.leads (account_id, stage_id, status, currency) include (value)
  where archived_at is null and deleted_at is null;

-- When the day of a moment began where an account is. A time zone that Postgres does not know counts as UTC: accounts
-- are checked against another list of zones.
create function clarin.start_of_day(moment timestamptz, zone text) returns timestamptz
language plpgsql stable parallel safe as $$
begin
  return date_trunc('day', moment, zone);
exception
  when invalid_parameter_value then
    return date_trunc('day', moment, 'UTC');
end $$;
