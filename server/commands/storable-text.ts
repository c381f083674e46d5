/**
 * Text of others as a column of so many characters takes it: without NUL, which Postgres has no place for, and cut where
 * the column ends, so that no message is refused for what its sender wrote. Undefined when nothing is left to read.
 */
export function storableText(
  text: string | null | undefined,
  charactersMax: number,
): string | undefined {
  const stored = text?.replaceAll('\0', '');
  if (stored === undefined || stored.trim() === '') return undefined;
  // Postgres counts code points, of which a text has at most as many as it has units.
  if (stored.length <= charactersMax) return stored;
  return Array.from(stored).slice(0, charactersMax).join('');
}

/** The same for a value that becomes jsonb. */
export function storableJson(value: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'string' ? part.replaceAll('\0', '') : part,
  );
}
