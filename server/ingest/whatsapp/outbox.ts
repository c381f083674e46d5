import { backoffMs } from '../../../platform/backoff.ts';
import type { Running } from '../../../platform/lifecycle.ts';
import { ATTEMPTS_MAX, claimOutgoing, type Claimed } from '../../commands/claim-outgoing.ts';
import { confirmOutgoing } from '../../commands/confirm-outgoing.ts';
import { recoverOutgoing } from '../../commands/settle-outgoing.ts';
import { judgeAck, judgeSendError, type SendVerdict } from '../../whatsapp/judge-send.ts';
import { createMediaHosts } from '../../whatsapp/media-hosts.ts';
import { Answers, type Answer } from './answers.ts';
import { keepMessage, type Composing } from './compose-message.ts';
import { write, type DeviceContext, type Linked } from './device-context.ts';
import { LOOK_MS, startRingLoop } from './ring-loop.ts';
import { Pace, PACE, type PaceOptions } from './pace.ts';
import { learnLid, makeReady, type ReadyMessage } from './ready-message.ts';
import { relayMessage } from './relay-message.ts';
import { Settler } from './settler.ts';
import { untilAborted } from './until-aborted.ts';

/**
 * Sends what a device has to send, for as long as one socket of it is logged in. A message goes through five steps:
 *
 * 1. claimed: it is `sending`, by one transaction that sees whether it may be (see claim-outgoing.ts);
 * 2. made ready: its recipient is asked for, its file uploaded. Several at once, so that one who does not answer and a
 *    large file keep nobody waiting;
 * 3. kept, sealed, and asked once more whether it may leave;
 * 4. handed to the socket, one message at a time, at the device's pace;
 * 5. settled, when WhatsApp answers: `sent`, or failed for good, or to be tried again.
 *
 * Whatever ends it in between, the next one finds the message by the note of its claim and sends it again by the same
 * stanza id; recipients show a stanza once. A chat's messages go in their order: none is claimed before the one in front
 * of it is settled.
 */
export type OutboxOptions = {
  /** Conversations that a device may begin within 24 hours: whoever begins many is banned. */
  readonly newChatsPerDay: number;
  readonly pace?: PaceOptions;
};

/** As many strangers as a careful person may write to. */
const NEW_CHATS_PER_DAY = 20;
/** Messages made ready at the same time. */
const READYING_MAX = 5;
const FAULT = { minMs: 500, maxMs: 30_000 };
/** Before another try of what did not go well, doubled with each. */
const RETRY = { minMs: 5_000, maxMs: 5 * 60_000 };

/** `ring`: there may be something to send. */
export function startOutbox(
  context: DeviceContext,
  linked: Linked,
  options: OutboxOptions = { newChatsPerDay: NEW_CHATS_PER_DAY },
): Running & { ring(): void } {
  return new Outbox(context, linked, options);
}

class Outbox implements Running {
  readonly #context: DeviceContext;
  readonly #linked: Linked;
  readonly #newChatsPerDay: number;
  readonly #stopping = new AbortController();
  /** Aborted when it is stopped, and as soon as the socket is over. */
  readonly #signal: AbortSignal;
  readonly #pace: Pace;
  readonly #answers: Answers;
  readonly #settler: Settler;
  readonly #composing: Composing;
  /** By the message's id. */
  readonly #readying = new Map<number, Promise<void>>();
  readonly #ready: ReadyMessage[] = [];
  readonly #loop;
  #isRecovered = false;

  constructor(context: DeviceContext, linked: Linked, options: OutboxOptions) {
    this.#context = context;
    this.#linked = linked;
    this.#newChatsPerDay = options.newChatsPerDay;
    this.#signal = AbortSignal.any([this.#stopping.signal, linked.signal, context.signal]);
    this.#pace = new Pace(context.clock, options.pace ?? PACE);
    this.#answers = new Answers(linked.socket);
    this.#settler = new Settler(context, () => this.ring());
    const elapsed = (): number => context.clock.elapsed();
    const hosts = createMediaHosts({ socket: linked.socket, elapsed });
    this.#composing = { context, linked, hosts, uploads: new Map(), signal: this.#signal };
    this.#loop = startRingLoop({
      context,
      signal: this.#signal,
      says: 'the outbox could not be worked on',
      fault: FAULT,
      round: () => this.#round(),
    });
  }

  ring(): void {
    this.#loop.ring();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#answers.stop();
    await this.#loop.stop();
    await Promise.all(this.#readying.values());
    await this.#settler.stop();
  }

  async #round(): Promise<number> {
    if (!this.#isRecovered) await write(this.#context, (tx) => recoverOutgoing(tx, this.#context));
    this.#isRecovered = true;
    return (await this.#step()) ? 0 : LOOK_MS;
  }

  /** One message further. False: there is nothing to do. */
  async #step(): Promise<boolean> {
    await this.#pace.wait(this.#signal);
    const ready = this.#ready.shift();
    if (ready) {
      await this.#send(ready);
      return true;
    }
    if (this.#readying.size >= READYING_MAX) return false;
    const { accountId, deviceId } = this.#context;
    const options = {
      accountId,
      deviceId,
      newChatsPerDay: this.#newChatsPerDay,
      busy: [...this.#readying.keys(), ...this.#settler.ids()],
    };
    const { claimed, hasMore } = await write(this.#context, (tx) => claimOutgoing(tx, options));
    if (claimed) {
      const { id } = claimed.row;
      this.#readying.set(id, this.#makeReady(claimed));
    }
    return hasMore;
  }

  /** Never throws. */
  async #makeReady(claimed: Claimed): Promise<void> {
    const { id } = claimed.row;
    try {
      this.#ready.push(await untilAborted(makeReady(this.#composing, claimed), this.#signal));
    } catch (error) {
      this.#fail(claimed, error);
    } finally {
      this.#readying.delete(id);
      this.#loop.ring();
    }
  }

  async #send(ready: ReadyMessage): Promise<void> {
    const { claimed, jid, message } = ready;
    const { row } = claimed;
    const { id, stanzaId } = row;
    const mayLeave = await write(this.#context, async (tx) => {
      const { accountId, deviceId } = this.#context;
      const isConfirmed = await confirmOutgoing(tx, { accountId, deviceId, id });
      if (isConfirmed) await keepMessage(tx, this.#context, { row, message });
      return isConfirmed;
    });
    if (!mayLeave) return;
    this.#answers.expect(stanzaId, (answer) => this.#hear(claimed, answer));
    this.#pace.spend();
    try {
      await untilAborted(relayMessage(this.#linked, { jid, stanzaId, message }), this.#signal);
    } catch (error) {
      // Answered already: what went wrong behind it changes nothing.
      if (this.#answers.forget(stanzaId)) this.#fail(claimed, error);
      return;
    }
    if (claimed.isNewChat) await learnLid(this.#composing, jid);
  }

  #hear(claimed: Claimed, { at, error }: Answer): void {
    const { id } = claimed.row;
    if (error !== undefined) return this.#judge(claimed, judgeAck(error));
    this.#pace.succeed();
    this.#settler.add({ kind: 'sent', id, at });
  }

  /** It could not be made ready, or not be handed to the socket. */
  #fail(claimed: Claimed, error: unknown): void {
    // The next connection finds it by its note.
    if (this.#signal.aborted) return;
    const isGroup = claimed.row.jid.endsWith('@g.us');
    const verdict = judgeSendError(error, { isGroup });
    this.#context.log.info({ error, verdict: verdict.kind }, 'a message was not sent');
    this.#judge(claimed, verdict);
  }

  #judge({ row: { id }, attempts }: Claimed, verdict: SendVerdict): void {
    const postpone = (delayMs: number, isUncounted: boolean): void =>
      this.#settler.add({ kind: 'postponed', id, delayMs, isUncounted });
    switch (verdict.kind) {
      case 'failed':
        return this.#settler.add({ kind: 'failed', id, reason: verdict.reason });
      case 'pause':
        return postpone(this.#pace.pause(), true);
      case 'disconnected':
        return postpone(RETRY.minMs, true);
      case 'retry':
        if (attempts >= ATTEMPTS_MAX)
          return this.#settler.add({ kind: 'failed', id, reason: verdict.reason });
        return postpone(
          backoffMs(attempts - 1, RETRY) * (0.5 + this.#context.clock.random()),
          false,
        );
      default:
        return verdict satisfies never;
    }
  }
}
