import { ClarinError } from '../domain/errors.ts';
import type { WasMessage } from './logical-message.ts';
import type { Relation } from './relation.ts';
import { TransactionBuilder, type TransactionLimits } from './transaction-builder.ts';

/** What is being decoded of one transaction. */
export type OpenTransaction = {
  readonly builder: TransactionBuilder;
  /** Tables as this transaction was told of them; others are told of theirs. */
  readonly relations: Map<number, Relation>;
  /** Rows announced by a trigger whose change has not come yet, by table and id. */
  readonly was: Map<string, { readonly message: WasMessage; readonly subxid: number }>;
  /** Why it cannot be decoded. Nobody is harmed by it unless it commits. */
  fault: ClarinError | undefined;
};

export function openTransaction(xid: number, limits: TransactionLimits): OpenTransaction {
  const builder = new TransactionBuilder(xid, limits);
  return { builder, relations: new Map(), was: new Map(), fault: undefined };
}

/** Of all transactions under way together: each of them is bounded, their number is the writers' to choose. */
const OPEN_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Large transactions, which Postgres sends while they are under way, a stretch of one and then of another (decision
 * 0050). They belong nowhere before they commit, and are forgotten when they are rolled back.
 */
export class OpenTransactions {
  readonly #limits: TransactionLimits;
  readonly #byXid = new Map<number, OpenTransaction>();
  readonly #bytesMax: number;

  constructor(limits: TransactionLimits, bytesMax = OPEN_BYTES_MAX) {
    this.#limits = limits;
    this.#bytesMax = bytesMax;
  }

  /** The one whose stretch begins. */
  resume(xid: number): OpenTransaction {
    const open = this.#byXid.get(xid) ?? openTransaction(xid, this.#limits);
    this.#byXid.set(xid, open);
    return open;
  }

  /** It has committed, and is let go. @throws ClarinError `internal` when nothing of it was sent, or what it could not be decoded for. */
  take(xid: number): OpenTransaction {
    const open = this.#byXid.get(xid);
    if (!open) throw new ClarinError('internal', 'a transaction was committed before it was sent');
    this.#byXid.delete(xid);
    if (open.fault) throw open.fault;
    return open;
  }

  rollBack(xid: number, subxid: number): void {
    if (xid === subxid) this.#byXid.delete(xid);
    const open = this.#byXid.get(xid);
    if (!open) return;
    open.builder.rollBack(subxid);
    for (const [key, announced] of open.was) if (announced.subxid === subxid) open.was.delete(key);
  }

  /** Between two stretches: the largest let go of their rows until all together hold what they may. */
  bound(): void {
    let bytes = 0;
    for (const { builder } of this.#byXid.values()) bytes += builder.bytes;
    if (bytes <= this.#bytesMax) return;
    const builders = [...this.#byXid.values()].map(({ builder }) => builder);
    builders.sort((left, right) => right.bytes - left.bytes);
    for (const builder of builders) {
      if (bytes <= this.#bytesMax / 2) return;
      bytes -= builder.bytes;
      builder.shrinkTo(0);
      bytes += builder.bytes;
    }
  }
}
