import type { EncodedChange } from '../../domain/change.ts';

/** Whose principal may have changed by a commit. */
export type Concerned = 'nobody' | 'everybody' | ReadonlySet<number>;

/**
 * Sessions whose principal a commit may have changed: what loadPrincipal reads, read backwards. A new session or role
 * concerns nobody who is here; a session that changed concerns itself; anything else the whole account. Changes of
 * users arrive as changes of their sessions (a trigger revokes them), because users belong to no account.
 */
export function whoIsConcerned(changes: readonly EncodedChange[]): Concerned {
  const sessions = new Set<number>();
  for (const change of changes) {
    switch (change.table) {
      case 'accounts':
      case 'memberships':
        return 'everybody';
      case 'roles':
        if (change.op !== 'insert') return 'everybody';
        break;
      case 'sessions': {
        if (change.op === 'insert') break;
        const id = sessionOf(change);
        if (id === undefined) return 'everybody';
        sessions.add(id);
        break;
      }
    }
  }
  return sessions.size === 0 ? 'nobody' : sessions;
}

/** Undefined where the change does not name one row: bulk, truncate. */
function sessionOf(change: EncodedChange): number | undefined {
  const key = JSON.parse(change.keyJson) as { id?: number };
  return key.id;
}

export function isConcerned(concerned: Concerned, sessionId: number): boolean {
  if (typeof concerned === 'string') return concerned === 'everybody';
  return concerned.has(sessionId);
}
