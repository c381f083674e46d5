import type pg from 'pg';
import type { TestDatabase } from '../../support/databases.ts';
import type { TestPostgres, TestRedis } from '../../support/services.ts';
import type { RunningRole } from '../../support/spawn-role.ts';
import type { Link } from './link.ts';

/** What a fault puts to the test. */
export type PromiseId = 'G1' | 'G2' | 'G3' | 'G4' | 'G5' | 'G6' | 'G7' | 'G8' | 'G9' | 'G10';

/** Seeded: an integer from 0 to below the number. */
export type Random = (below: number) => number;

/** Rows as the driver gives them. */
export type SqlRow = Record<string, unknown>;

/**
 * One process of the world under a supervisor: whatever ends it, another one of the same name, ports and environment follows
 * within a second. A fault only ends it.
 */
export type SoakProcess = {
  readonly role: 'api' | 'replicator' | 'gateway';
  /** `replicator 2`. */
  readonly name: string;
  /** The one that runs, or that ran last: another object after each restart. */
  readonly running: RunningRole;
  readonly isAlive: boolean;
  /** How often the supervisor has started it anew. */
  readonly restarts: number;
  /** Every connection of this process to Postgres and Redis goes through these. */
  readonly links: { readonly postgres: Link; readonly redis: Link };
};

/** What a fault may lay hands on. Nothing else of a soak is a fault's business. */
export type SoakWorld = {
  /** Of the world's own: stopped, killed and reconfigured at will. */
  readonly postgres: TestPostgres;
  readonly database: TestDatabase;
  /** Of the world's own. */
  readonly redis: TestRedis;
  /** All of them run by test/soak/faulty-process.mjs (`spawnRole(role, environment, { program })`): they take orders.ts. */
  readonly processes: readonly SoakProcess[];
  /** CLARIN_SLOT and CLARIN_PUBLICATION are the defaults, the prefix of Redis is what is named here. */
  readonly environment: Readonly<Record<string, string>>;
  /** As the owner and superuser, past every link. */
  sql(text: string, values?: readonly unknown[]): Promise<SqlRow[]>;
  /** A connection of one's own as the owner, past every link: its transaction stays open as long as wanted. */
  session(): Promise<pg.Client>;
  /** Past every link. */
  redisCommand(command: string, ...args: readonly (string | number)[]): Promise<unknown>;
  /** One line of the soak's diary, with its time. */
  log(says: string): void;
};

/** What became of the subscribers' past. Of several faults at once one that ends it ends it for all. */
export type Resync = 'never' | 'always' | 'may';

export type FaultReport = {
  /** One sentence with what proves that it really happened: a pid, a log line, a count. */
  readonly says: string;
  /** By name with the unit last: `takeoverMs`. The worst of all rounds is what counts. */
  readonly figures?: Readonly<Record<string, number>>;
};

export type Fault = {
  /** `replicator killed`: what --only names. */
  readonly name: string;
  readonly promises: readonly PromiseId[];
  readonly resync: Resync;
  /** From the moment `run` resolves until every process is ready and the feed is live, by itself. */
  readonly greenWithinMs: number;
  /** Of figures in its reports, at most: for a machine that does nothing else besides. */
  readonly bounds?: Readonly<Record<string, number>>;
  /** The part of a bound that is waited by the clock: on a slow machine it is not longer. */
  readonly waits?: Readonly<Record<string, number>>;
  /** Such faults bear no other beside them: their own proof would be disturbed, or the machine overloaded. */
  readonly isAlone?: boolean;
  /** May it be chosen now? */
  fits(world: SoakWorld): boolean;
  /**
   * Breaks something, sees that it is broken, and lets go. Resolves when nothing of the test holds it broken any more.
   * @throws Error when it could not be broken, when what must happen at once did not happen. Figures are not judged here.
   */
  run(world: SoakWorld, random: Random): Promise<FaultReport>;
};
