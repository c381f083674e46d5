/** Where a leader can be caught: between any two steps of a batch, and between any two of making a slot and an epoch. */
export const POINTS = [
  /** A batch is decoded, nothing has been asked about it. */
  'decoded',
  /** It is visible, nothing of it is in Redis. */
  'visible',
  /** Every account has its share, the global position does not say so yet. */
  'written',
  /** The position says so, no socket has it. */
  'applied',
  /** The sockets have it, its heartbeat has renewed nothing. */
  'delivered',
  /** The lease is renewed, Postgres does not know. */
  'returned',
  /** Postgres has been told. */
  'acknowledged',
  /** The epoch is judged, and nothing done about it. */
  'judged',
  /** There is a new slot and no epoch that goes with it. */
  'slot made',
  /** Redis has the new epoch, and it has no position. */
  'epoch opened',
] as const;
export type Point = (typeof POINTS)[number];

/**
 * Ways to break a replicator on purpose, so that the tests of its promises can be seen to fail. They are arguments of
 * functions and nothing else: no setting, no environment variable and no command reaches them. A test that needs a
 * whole process starts it from a script of its own that calls startReplicator with them.
 */
export type UnsafeSeams = {
  /** Nothing waits for visibility (hazard H8 comes back). */
  readonly gate?: 'off';
  /** Tells Postgres one byte more than was applied (hazard H1 comes back). */
  readonly exactAck?: 'off';
  /** Tells Postgres what was decoded, applied or not (hazard H2 comes back). */
  readonly honestAck?: 'off';
  /** Called between judging the epoch by the slot and reading the slot: the moment in which somebody may move it. */
  readonly beforeStream?: () => Promise<void>;
  /** Streams from wherever the slot is by then. */
  readonly slotCheck?: 'off';
  /** Judges by control alone an epoch of which Redis has answered that it lost something. */
  readonly lostEpoch?: 'kept';
  /** Called at every point: what it throws ends the attempt there, and it may end the process. */
  readonly at?: (point: Point) => void;
};
