import { ClarinError } from '../../../domain/errors.ts';
import type { App } from '../context.ts';

/** A request that is not answered by then is given up, its statements cancelled. */
const REQUEST_MS_MAX = 15_000;

/**
 * Gives each request a signal that ends with its caller or with its time. Fastify's own `request.signal` cannot be
 * used: it listens for the close of the *request*, which Node emits as soon as a body has been read.
 * https://nodejs.org/docs/latest-v20.x/api/http.html#event-close_3
 */
export function registerDeadline(app: App): void {
  const timers = new WeakMap<object, NodeJS.Timeout>();
  app.decorateRequest('cancel', null as unknown as AbortSignal);
  app.addHook('onRequest', (request, reply, done) => {
    const controller = new AbortController();
    request.cancel = controller.signal;
    const timer = setTimeout(
      () => controller.abort(new ClarinError('timeout', 'the request took too long')),
      REQUEST_MS_MAX,
    );
    timer.unref();
    timers.set(request, timer);
    reply.raw.once('close', () => {
      clearTimeout(timer);
      if (!reply.raw.writableFinished)
        controller.abort(new ClarinError('timeout', 'the caller is gone'));
    });
    done();
  });
  app.addHook('onResponse', (request, _reply, done) => {
    clearTimeout(timers.get(request));
    done();
  });
}
