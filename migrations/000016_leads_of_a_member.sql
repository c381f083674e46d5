-- Not breaking. Locks: leads are not written while their index is built.

-- "My leads", counted and paged from the index alone. The index that serves the foreign key knows neither archive nor trash,
-- so that each lead of a member was fetched to be counted.
create index leads_assigned_live on public.leads (account_id, assigned_to, created_at, id)
  where archived_at is null and deleted_at is null;
