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
};

/** True when the principal may do what the permission names. */
export function may(principal: Principal, permission: Permission): boolean {
  if (principal.isSuperAdmin) return true;
  return principal.permissions.includes('*') || principal.permissions.includes(permission);
}
