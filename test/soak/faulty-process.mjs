#!/usr/bin/env node
// A role of Clarin that takes the orders of test/soak/faults/orders.ts: `faulty-process.mjs <role>`.
import { register } from 'tsx/esm/api';

register();
await import(new URL('./faulty-process.ts', import.meta.url).href);
