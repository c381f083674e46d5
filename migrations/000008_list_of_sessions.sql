-- Not breaking. Locks: writes of sessions wait while the indexes are built.
-- Sessions are listed: by age, and a user's own.

create index sessions_created_at on public.sessions (account_id, created_at, id);
create index sessions_of_user on public.sessions (account_id, user_id) where revoked_at is null;
