import { ClarinError } from '../../../domain/errors.ts';
import type { App, Request } from '../context.ts';

/** A request that is not answered by then is given up, its statements cancelled. */
const REQUEST_MS_MAX = 15_000;
/** An upload may take as long as it moves: it is given up when nothing came for this long, */
const UPLOAD_IDLE_MS_MAX = 15_000;
/** and in the end all the same. The server's own limit of a request is the same. */
export const UPLOAD_MS_MAX = 15 * 60_000;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its body is a file, or its answer is: it takes as long as bytes move. */
    isTransfer?: boolean;
  }
}

/**
 * Gives each request a signal that ends with its caller or with its time. Fastify's own `request.signal` cannot be
 * used: it listens for the close of the *request*, which Node emits as soon as a body has been read.
 * https://nodejs.org/docs/latest-v20.x/api/http.html#event-close_3
 */
export function registerDeadline(app: App): void {
  const ends = new WeakMap<object, () => void>();
  app.decorateRequest('cancel', null as unknown as AbortSignal);
  app.addHook('onRequest', (request, reply, done) => {
    const controller = new AbortController();
    request.cancel = controller.signal;
    const giveUp = (): void => {
      controller.abort(new ClarinError('timeout', 'the request took too long'));
      // A body that still trickles in is not waited for: nothing would be done with it.
      if (!request.raw.complete) request.raw.destroy();
    };
    const end = request.routeOptions.config.isTransfer
      ? watchTransfer(request, giveUp)
      : startTimer(REQUEST_MS_MAX, giveUp);
    ends.set(request, end);
    reply.raw.once('close', () => {
      end();
      if (!reply.raw.writableFinished)
        controller.abort(new ClarinError('timeout', 'the caller is gone'));
    });
    done();
  });
  app.addHook('onResponse', (request, _reply, done) => {
    ends.get(request)?.();
    done();
  });
}

function startTimer(ms: number, then: () => void): () => void {
  const timer = setTimeout(then, ms);
  timer.unref();
  return () => clearTimeout(timer);
}

/** Gives up when the connection carried nothing for a while, in either direction, or after the longest time. */
function watchTransfer(request: Request, giveUp: () => void): () => void {
  const { socket } = request.raw;
  const moved = (): number => socket.bytesRead + socket.bytesWritten;
  let last = moved();
  const idle = setInterval(() => {
    if (moved() === last) giveUp();
    last = moved();
  }, UPLOAD_IDLE_MS_MAX);
  idle.unref();
  const end = startTimer(UPLOAD_MS_MAX, giveUp);
  return () => {
    clearInterval(idle);
    end();
  };
}
