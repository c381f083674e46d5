/** Something is asked of the fake that cannot be in its world. */
export class WorldError extends Error {
  override readonly name = 'WorldError';
}

export function mustFind<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new WorldError(`there is no ${what}`);
  return value;
}
