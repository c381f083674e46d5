import { ClarinError } from '../../domain/errors.ts';
import { backoffMs } from '../../platform/backoff.ts';

export type DownloadVerdict =
  /** It will not be fetched, and why, for people. */
  | { readonly kind: 'failed'; readonly reason: string }
  | { readonly kind: 'retry'; readonly delayMs: number };

export const DOWNLOAD_REFUSALS = {
  too_large: 'It is larger than files may be here.',
  over_quota: 'The files of this account take up all the room they may.',
  no_place: 'The message does not say where at WhatsApp it is.',
  not_on_phone: 'WhatsApp does not have it any more, and neither does the phone.',
  gave_up: 'It could not be fetched from WhatsApp.',
} as const;

/** What cannot be fetched, found on the way. Its message is the sentence for people. */
export class DownloadRefusal extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'DownloadRefusal';
  }
}

/** As long as WhatsApp keeps files. After so many tries in that time it will not go better. */
const ATTEMPTS_MAX = 20;
const AGE_MS_MAX = 21 * 24 * 3_600_000;
/** Twenty of them last five days. */
const RETRY = { minMs: 5_000, maxMs: 12 * 3_600_000 };

/** By what was thrown. `attempts`: that have been made. */
export function judgeDownload(
  error: unknown,
  { attempts, ageMs, random }: { attempts: number; ageMs: number; random: () => number },
): DownloadVerdict {
  if (error instanceof DownloadRefusal) return { kind: 'failed', reason: error.message };
  if (error instanceof ClarinError && error.code === 'too_large')
    return { kind: 'failed', reason: DOWNLOAD_REFUSALS.too_large };
  if (attempts >= ATTEMPTS_MAX || ageMs >= AGE_MS_MAX)
    return { kind: 'failed', reason: DOWNLOAD_REFUSALS.gave_up };
  return { kind: 'retry', delayMs: backoffMs(attempts - 1, RETRY) * (0.5 + random()) };
}
