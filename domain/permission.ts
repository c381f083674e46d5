/** What a role may be allowed to do. `*` in a role's list stands for all of them. */
export const PERMISSIONS = [
  'chats',
  'contacts',
  'leads',
  'pipelines',
  'tags',
  'devices',
  'campaigns',
  'settings',
  'integrations',
  'users',
  'ops',
] as const;

export type Permission = (typeof PERMISSIONS)[number];

/** Who is asking, as the database says: read from a session, never from the token alone. */
export type Principal = {
  readonly sessionId: number;
  readonly userId: number;
  readonly accountId: number;
  readonly roleId: number | null;
  readonly isSuperAdmin: boolean;
  readonly permissions: readonly string[];
  /** The devices whose rows it sees; null: all of them. */
  readonly deviceIds: readonly number[] | null;
  /** A program, which acts for the user by this key; null: the user. */
  readonly apiKeyId: number | null;
  /** When the session is over, in seconds since 1970: nothing is written when it passes, so whoever remembers looks. */
  readonly expiresAt: number;
};

/** True when the principal may do what the permission names. */
export function may(principal: Principal, permission: Permission): boolean {
  if (principal.isSuperAdmin) return true;
  return principal.permissions.includes('*') || principal.permissions.includes(permission);
}
