import type { Redis } from 'ioredis';
import type { Script } from '../../platform/cache/scripts.ts';

/**
 * A connection over which one script runs without some of its lines, as if they had never been written. Everything else of
 * reader, writer and control stays what it is, so that a trail of the model can be followed with one guard removed.
 */
export function withoutGuard(redis: Redis, script: Script, guard: RegExp, instead = ''): Redis {
  const source = script.source.replace(guard, instead);
  if (source === script.source) throw new Error(`the script has no ${String(guard)}`);
  const evalsha = (sha: string, ...rest: [number, ...string[]]): Promise<unknown> =>
    sha === script.sha ? redis.eval(source, ...rest) : redis.evalsha(sha, ...rest);
  return new Proxy(redis, {
    get: (target, name): unknown => {
      if (name === 'evalsha') return evalsha;
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
