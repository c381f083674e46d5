import { setDeviceStatus, type DeviceState } from '../../commands/set-device-status.ts';
import { LeaseLost } from '../write-in-lease.ts';
import { write, type DeviceContext } from './device-context.ts';

/** Shows how a device is doing. What could not be written stays to be written: the socket does not wait for it. */
export class StatusBoard {
  readonly #context: DeviceContext;
  #state: DeviceState | undefined;
  #isWritten = true;
  #writing: Promise<void> = Promise.resolve();

  constructor(context: DeviceContext) {
    this.#context = context;
  }

  /** As it was said last, whether or not it is written. */
  get state(): DeviceState | undefined {
    return this.#state;
  }

  /** @throws LeaseLost, the signal's reason. */
  async tell(state: DeviceState): Promise<void> {
    if (this.#isWritten && isSame(this.#state, state)) return;
    this.#state = state;
    this.#isWritten = false;
    await this.again();
    const { status, code } = state;
    this.#context.log.info({ status, code }, 'a device is');
  }

  /** What was not written yet is. @throws as `tell`. */
  again(): Promise<void> {
    this.#writing = this.#writing.catch(() => undefined).then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    const state = this.#state;
    if (this.#isWritten || !state) return;
    const context = this.#context;
    try {
      await write(context, (tx) => setDeviceStatus(tx, context, state));
      if (this.#state === state) this.#isWritten = true;
    } catch (error) {
      if (error instanceof LeaseLost || context.signal.aborted) throw error;
      context.log.warn({ error }, 'the status of a device was not written');
    }
  }
}

const secondOf = (ms: number | undefined): number | undefined =>
  ms === undefined ? undefined : Math.ceil(ms / 1_000);

function isSame(left: DeviceState | undefined, right: DeviceState): boolean {
  return (
    left?.status === right.status &&
    left.code === right.code &&
    secondOf(left.retryAtMs) === secondOf(right.retryAtMs)
  );
}
