/** Why everything is read. People are shown how far it is, but for the last two. */
export type JobReason =
  /** Somebody asked for it. */
  | 'asked'
  /** Nothing was read yet. */
  | 'first'
  /** More pipelines are followed. */
  | 'pipelines'
  | 'nightly'
  /** For so long nothing was read that events may be missing. */
  | 'gap';

/** What was read as a whole at some time. */
export type Loaded = {
  readonly contacts: boolean;
  /** Kommo's ids of the pipelines whose leads were. */
  readonly pipelines: readonly number[];
};

export type JobChoice =
  | { readonly kind: 'none' }
  /** What was begun goes on. */
  | { readonly kind: 'resume' }
  | { readonly kind: 'begin'; readonly reason: JobReason; readonly pipelines: readonly number[] }
  /** What was begun was given up by people. */
  | { readonly kind: 'drop' };

type Situation = {
  /** Of the connection. */
  readonly fullSync: string;
  readonly followed: readonly number[];
  readonly loaded: Loaded;
  /** Of the job that was begun, if any. */
  readonly begun: JobReason | undefined;
  readonly isNightlyDue: boolean;
  readonly hasGap: boolean;
};

export const isTold = (reason: JobReason): boolean => reason !== 'nightly' && reason !== 'gap';

/** What is to be read as a whole now. What people ask for goes before what was begun by itself. */
export function chooseJob(situation: Situation): JobChoice {
  const { fullSync, followed, loaded, begun, isNightlyDue, hasGap } = situation;
  // Nobody has said yet what is wanted of it.
  const begin = (reason: JobReason, pipelines: readonly number[]): JobChoice =>
    followed.length === 0 && reason !== 'asked'
      ? { kind: 'none' }
      : { kind: 'begin', reason, pipelines };
  if (fullSync === 'pending') return begin('asked', followed);
  if (begun !== undefined && isTold(begun))
    return fullSync === 'running' ? { kind: 'resume' } : { kind: 'drop' };
  // It says that it runs, and nobody knows how far.
  if (fullSync === 'running') return begin('asked', followed);
  if (!loaded.contacts) return begin('first', followed);
  const more = followed.filter((id) => !loaded.pipelines.includes(id));
  if (more.length > 0) return begin('pipelines', more);
  if (begun !== undefined) return { kind: 'resume' };
  if (hasGap) return begin('gap', followed);
  return isNightlyDue ? begin('nightly', followed) : { kind: 'none' };
}
