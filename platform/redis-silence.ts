import type { Redis } from 'ioredis';

/** Between two questions to a connection. */
const ASK_EVERY_MS = 1_000;

/**
 * Cuts a connection that no longer answers, so that it is made anew. A connection that a firewall or a fail-over has
 * forgotten takes commands for a quarter of an hour before the kernel gives it up, and all of them time out meanwhile.
 * A process that stood still itself has heard nothing either: what counts is questions without an answer, not time.
 */
export function cutWhenSilent(redis: Redis, silenceMs: number): void {
  const unansweredMax = Math.ceil(silenceMs / ASK_EVERY_MS);
  let unanswered = 0;
  let timer: NodeJS.Timeout | undefined;
  const ask = (): void => {
    if (unanswered >= unansweredMax) {
      redis.disconnect(true);
      return;
    }
    unanswered++;
    redis.ping().then(
      () => (unanswered = 0),
      () => undefined,
    );
  };
  redis.on('ready', () => {
    unanswered = 0;
    clearInterval(timer);
    timer = setInterval(ask, ASK_EVERY_MS);
    timer.unref();
  });
  redis.on('close', () => clearInterval(timer));
}
