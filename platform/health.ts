/** One thing a process depends on, judged. `says` is for an operator at night: what is, and what to do. */
export type HealthCheck = { readonly name: string; readonly ok: boolean; readonly says: string };

export type Health = { readonly status: 'green' | 'red'; readonly checks: readonly HealthCheck[] };

export function judgeHealth(checks: readonly HealthCheck[]): Health {
  return { status: checks.every((check) => check.ok) ? 'green' : 'red', checks };
}
