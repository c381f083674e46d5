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
  /** Called between applying a batch and acknowledging it: what it throws is a crash at the worst moment. */
  readonly beforeAck?: () => void;
};
