/** Every address of the API the fake knows, by the name that faults and the request log use. */
export const ENDPOINTS = [
  'oauth2/access_token',
  'oauth2/account',
  'account',
  'leads',
  'leads/{id}',
  'leads/pipelines',
  'leads/pipelines/{id}',
  'leads/pipelines/{id}/statuses',
  'leads/pipelines/{id}/statuses/{id}',
  'leads/tags',
  'leads/unsorted',
  'leads/loss_reasons',
  'leads/custom_fields',
  'contacts',
  'contacts/{id}',
  'contacts/tags',
  'contacts/custom_fields',
  'users',
  'users/{id}',
  'events',
  'events/types',
  'events/{id}',
  'webhooks',
] as const;
export type Endpoint = (typeof ENDPOINTS)[number];

export type Place = { readonly endpoint: Endpoint; readonly ids: readonly string[] };

const PATTERNS = ENDPOINTS.map((endpoint) => ({
  endpoint,
  segments: endpoint.startsWith('oauth2') ? [] : ['api', 'v4', ...endpoint.split('/')],
}));

/** `path`: `/api/v4/leads/5`. undefined: there is no such address. */
export function findEndpoint(path: string): Place | undefined {
  if (path === '/oauth2/access_token') return { endpoint: 'oauth2/access_token', ids: [] };
  if (/^\/oauth2\/account\/(current\/)?subdomain$/.test(path)) {
    return { endpoint: 'oauth2/account', ids: [] };
  }
  const segments = path.replace(/\/$/, '').split('/').slice(1);
  const fitting = PATTERNS.filter(
    (pattern) =>
      pattern.segments.length === segments.length &&
      pattern.segments.every((part, index) => {
        const given = segments[index] ?? '';
        if (part !== '{id}') return part === given;
        // Events have ids of letters and digits; a word is never an id of the others.
        return /^[0-9a-z]+$/.test(given) && (/^\d+$/.test(given) || segments[2] === 'events');
      }),
  );
  // `leads/tags` is no lead.
  const exact = fitting.find(({ endpoint }) => !endpoint.includes('{'));
  const found = exact ?? fitting[0];
  if (found === undefined) return undefined;
  const ids = segments.filter((_, index) => found.segments[index] === '{id}');
  return { endpoint: found.endpoint, ids };
}
