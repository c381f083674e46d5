import type { Fault } from './fault.ts';
import { CLOCK_FAULTS } from './clocks.ts';
import { CRASH_POINT_FAULTS } from './crash-points.ts';
import { HALF_OPEN_FAULTS } from './half-open.ts';
import { POSTGRES_SERVER_FAULTS } from './postgres-server.ts';
import { PROCESS_FAULTS } from './processes.ts';
import { PUBLICATION_FAULTS } from './publication.ts';
import { REDIS_SERVER_FAULTS } from './redis-server.ts';
import { REPLICATION_STREAM_FAULTS } from './replication-stream.ts';
import { SCHEMA_FAULTS } from './schema.ts';
import { SLOT_FAULTS } from './slot.ts';
import { VISIBILITY_FAULTS } from './visibility.ts';

/** Everything that a soak breaks. */
export const FAULTS: readonly Fault[] = [
  ...PROCESS_FAULTS,
  ...CRASH_POINT_FAULTS,
  ...REPLICATION_STREAM_FAULTS,
  ...POSTGRES_SERVER_FAULTS,
  ...REDIS_SERVER_FAULTS,
  ...HALF_OPEN_FAULTS,
  ...SLOT_FAULTS,
  ...PUBLICATION_FAULTS,
  ...SCHEMA_FAULTS,
  ...CLOCK_FAULTS,
  ...VISIBILITY_FAULTS,
];
