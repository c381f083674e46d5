import type { Metrics } from '../../../platform/metrics.ts';
import type { KommoMeans } from '../../kommo/means.ts';
import type { Clock } from '../clock.ts';

/** How long requests have waited for their turn lately. */
export type Waits = {
  /** On average since it was asked last, ms; 0 when there were none. */
  takeAverageMs(): number;
};

/**
 * The same means, with an eye on them: requests are counted by endpoint and answer, and how long regular ones wait for
 * their turn is known.
 */
export function watchMeans(
  means: KommoMeans,
  { metrics, clock }: { metrics: Metrics; clock: Clock },
): { means: KommoMeans; waits: Waits } {
  let count = 0;
  let totalMs = 0;
  const { http, limiter } = means;
  return {
    waits: {
      takeAverageMs: () => {
        const average = count === 0 ? 0 : totalMs / count;
        count = 0;
        totalMs = 0;
        return average;
      },
    },
    means: {
      ...means,
      http: {
        ...http,
        send: async (request) => {
          const result = await http.send(request);
          const status = result.kind === 'answered' ? String(result.answer.status) : result.kind;
          metrics.kommoRequests.inc({ endpoint: endpointOf(request.url), status });
          return result;
        },
      },
      limiter: {
        ...limiter,
        acquire: async (wish) => {
          const before = clock.elapsed();
          const ticket = await limiter.acquire(wish);
          if (wish.lane === 'poll') {
            count += 1;
            totalMs += clock.elapsed() - before;
          }
          return ticket;
        },
      },
    },
  };
}

/** `leads/:id` of an address: few enough to be a label. */
export function endpointOf(url: string): string {
  const { pathname } = new URL(url);
  const [, path = pathname.split('/').slice(-2).join('/')] = pathname.split('/api/v4/');
  return path.replaceAll(/\/\d+(?=\/|$)/g, '/:id');
}
