/** How many workers have a Postgres of their own: no project has more of them. */
export const POSTGRES_SERVERS = 3;
