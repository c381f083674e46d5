// Hundreds of sockets that stall or read slowly, in a process of their own: test/soak/scenarios/crowd.ts.
import { register } from 'tsx/esm/api';

register();
await import(new URL('./crowd.ts', import.meta.url).href);
