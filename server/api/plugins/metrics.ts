import type { App, Context } from '../context.ts';

/** Counts and times every answered request by its route (never by its path, which is unbounded). */
export function registerMetrics(app: App, context: Context): void {
  app.addHook('onResponse', (request, reply, done) => {
    const route = request.routeOptions.url ?? 'none';
    const labels = { method: request.method, route, status: String(reply.statusCode) };
    context.metrics.requests.observe(labels, reply.elapsedTime / 1_000);
    done();
  });
}
