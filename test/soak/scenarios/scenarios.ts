import { million } from './million.ts';
import { reads } from './reads.ts';
import type { Scenario } from './scenario.ts';
import { sockets } from './sockets.ts';

/** What `npm run soak -- --scenario <name>` runs: promises at the size they are stated at. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = { million, reads, sockets };
