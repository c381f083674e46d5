import { LSN_ZERO, type Lsn } from '../domain/lsn.ts';
import type { DecodedTransaction } from './transaction-builder.ts';

/** Decoded and waiting. Above the high mark the socket is paused, below the low one it is read again. */
const HIGH_WATER_BYTES = 8 * 1024 * 1024;
const LOW_WATER_BYTES = 2 * 1024 * 1024;
/** A batch ends here; one larger transaction is a batch of its own. */
const BATCH_BYTES_MAX = 1024 * 1024;
const BATCH_TRANSACTIONS_MAX = 500;

/** Whole transactions in commit order, and the position that is reached when all of them are applied. */
export type Batch = {
  readonly transactions: readonly DecodedTransaction[];
  readonly position: Lsn;
};

type Options = { onFull: () => void; onDrained: () => void };

/**
 * Between the socket, which brings transactions when it likes, and the pipeline, which takes them at its own pace. A
 * keepalive's position queues up behind everything that was decoded before it, so that it is confirmed only when all
 * of that is (hazard H7); one overtaken by a transaction says nothing any more.
 */
export class TransactionQueue {
  readonly #options: Options;
  #transactions: DecodedTransaction[] = [];
  #bytes = 0;
  #isFull = false;
  /** Newest position known to have been sent, behind all of #transactions. */
  #position: Lsn | undefined;
  #taken: Lsn = LSN_ZERO;
  #wake: () => void = () => undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#transactions.length === 0;
  }

  push(transaction: DecodedTransaction): void {
    this.#transactions.push(transaction);
    this.#bytes += transaction.bytes;
    this.#position = undefined;
    if (this.#bytes > HIGH_WATER_BYTES && !this.#isFull) {
      this.#isFull = true;
      this.#options.onFull();
    }
    this.#wake();
  }

  /** Everything that ends at or before `lsn` has been pushed. */
  keepalive(lsn: Lsn): void {
    if (lsn <= this.#taken) return;
    this.#position = lsn;
    this.#wake();
  }

  /** Waits for something to do. @throws the signal's reason. */
  async take(signal: AbortSignal): Promise<Batch> {
    while (this.isEmpty && this.#position === undefined) {
      signal.throwIfAborted();
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const wake = this.#wake;
      signal.addEventListener('abort', wake);
      await woken;
      signal.removeEventListener('abort', wake);
    }
    signal.throwIfAborted();
    return this.#next();
  }

  #next(): Batch {
    let count = 0;
    let bytes = 0;
    for (const transaction of this.#transactions) {
      if (
        count >= BATCH_TRANSACTIONS_MAX ||
        (count > 0 && bytes + transaction.bytes > BATCH_BYTES_MAX)
      )
        break;
      count++;
      bytes += transaction.bytes;
    }
    const transactions = this.#transactions.splice(0, count);
    this.#bytes -= bytes;
    if (this.#isFull && this.#bytes < LOW_WATER_BYTES) {
      this.#isFull = false;
      this.#options.onDrained();
    }
    const last = transactions[transactions.length - 1];
    const position = this.isEmpty && this.#position !== undefined ? this.#position : last?.endLsn;
    if (position === undefined) throw new Error('a batch without a position');
    if (this.isEmpty) this.#position = undefined;
    this.#taken = position;
    return { transactions, position };
  }
}
