import type { DeviceContext } from './device-context.ts';
import type { KeyCache } from './key-cache.ts';
import { deleteSession } from './session-store.ts';

/** What came before a session goes is written first. */
const DRAIN_MS = 5 * 60_000;

type Options = {
  readonly keys: KeyCache;
  /** Resolves when what came is written. */
  readonly drained: () => Promise<void>;
  /** Aborted when the work for the device is to end. */
  readonly signal: AbortSignal;
};

/**
 * The session goes, and after what came by it: without it nobody can say any more whose messages those are, and
 * WhatsApp does not send them again. @throws the signal's reason, as `deleteSession`.
 */
export async function forgetSession(
  context: DeviceContext,
  { keys, drained, signal }: Options,
): Promise<void> {
  const waiting = new AbortController();
  const late = context.clock.sleep(DRAIN_MS, AbortSignal.any([signal, waiting.signal])).then(
    () => context.log.warn('what came is not written yet, and its session goes'),
    () => undefined,
  );
  await Promise.race([drained(), late]);
  waiting.abort();
  signal.throwIfAborted();
  await deleteSession(context, keys);
}
