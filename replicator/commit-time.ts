/** 2000-01-01 in ms since 1970, where Postgres' clock starts. */
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** Microseconds since 2000-01-01 as RFC 3339 UTC: `2026-11-22T10:00:00.000001Z`. */
export function formatMicros(micros: bigint): string {
  const rest = ((micros % 1_000n) + 1_000n) % 1_000n;
  const ms = (micros - rest) / 1_000n;
  const text = new Date(Number(ms) + POSTGRES_EPOCH_MS).toISOString();
  return `${text.slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
}
