type Options = {
  timeoutMs?: number;
  everyMs?: number;
  /**
   * What is being waited for, for the message when it never comes: `the row reaches the socket`.
   */
  says?: string;
};

/**
 * Waits for a condition: asks until `check` neither throws nor answers false or undefined, and
 * returns its answer.
 * @throws Error with `says` and the last reason when the time is over.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { timeoutMs = 10_000, everyMs = 20, says = 'the condition holds' }: Options = {},
): Promise<Exclude<T, false | undefined>> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    let reason: unknown;
    try {
      const answer = await check();
      if (answer !== false && answer !== undefined) return answer as Exclude<T, false | undefined>;
      reason = `it answered ${String(answer)}`;
    } catch (error) {
      reason = error;
    }
    if (performance.now() >= deadline) {
      const last = reason instanceof Error ? reason.message : String(reason);
      throw new Error(`not within ${timeoutMs} ms: ${says}; last: ${last}`, { cause: reason });
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}
