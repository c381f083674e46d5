// A thread that reads through the cache and compares: test/soak/scenarios/reads-thread.ts.
import { register } from 'tsx/esm/api';

register();
await import(new URL('./reads-thread.ts', import.meta.url).href);
