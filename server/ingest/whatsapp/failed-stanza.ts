import { ClarinError } from '../../../domain/errors.ts';
import { backoffMs } from '../../../platform/backoff.ts';
import { failInboxRow, type InboxRow } from '../../commands/whatsapp-inbox.ts';
import { decodeStanza, unreadable } from '../../whatsapp/decode-stanza.ts';
import type { Me } from '../../whatsapp/map-message.ts';
import { LeaseLost } from '../write-in-lease.ts';
import { applyMessage } from './apply-message.ts';
import { write, type DeviceContext } from './device-context.ts';
import { isPassing } from './is-passing.ts';

/** Passing trouble with one row, with its database there: from then on the others come first. */
const STRIKES_MAX = 4;
/** Tries of a row that fails for what is in it, and the time between them. */
const ATTEMPTS_MAX = 5;
const RETRY = { minMs: 1_000, maxMs: 60_000 };
/** A vote waits for its poll; it is looked at when that comes, and now and then. */
const VOTE_WAITS_MS = 3_600_000;

/** The vote stays in the inbox; what was done in the transaction, its end above all, is not. */
export class VoteWaits extends Error {}

type Outcome = 'taken' | 'nothing' | 'unwanted' | 'failed' | 'given_up';

/** How stanzas end, for the metrics. */
export function countStanza({ metrics }: DeviceContext, outcome: Outcome): void {
  metrics.whatsappStanzas.inc({ outcome });
}

type Failed = {
  readonly row: InboxRow;
  readonly me: Me;
  readonly error: unknown;
  readonly strikes: Map<number, number>;
};

/**
 * What becomes of a row that failed: put by for later, given up with its place shown, or left where it is.
 * @throws what will pass: the row is taken again before any other.
 */
export async function judgeFailed(
  context: DeviceContext,
  { row, me, error, strikes }: Failed,
): Promise<void> {
  if (context.signal.aborted || error instanceof LeaseLost) throw error;
  const waits = voteWaits(error);
  if (waits !== undefined) {
    const aside = { error: waits, retryInMs: VOTE_WAITS_MS, isWaiting: true };
    await write(context, (tx) => failInboxRow(tx, context, row.id, aside));
    return;
  }
  const strike = (strikes.get(row.id) ?? 0) + 1;
  if (isPassing(error) && (isAway(error) || strike < STRIKES_MAX)) {
    if (!isAway(error)) strikes.set(row.id, strike);
    throw error;
  }
  strikes.delete(row.id);
  const attempt = row.attempts + 1;
  const says = error instanceof Error ? error.message : String(error);
  const isOver = attempt >= ATTEMPTS_MAX;
  const retryInMs = isOver ? undefined : backoffMs(row.attempts, RETRY);
  context.log[isOver ? 'error' : 'warn']({ error, row: row.id, attempt }, 'a stanza has failed');
  await write(context, (tx) => failInboxRow(tx, context, row.id, { error: says, retryInMs }));
  countStanza(context, isOver ? 'given_up' : 'failed');
  if (isOver) await keepPlace(context, row, me);
}

/** In the conversation one sees that there was something. Nothing, when not even that can be written. */
async function keepPlace(context: DeviceContext, row: InboxRow, me: Me): Promise<void> {
  const { envelope, info, mapped } = decodeStanza(row, { me, nowMs: context.clock.now() });
  const said = unreadable(envelope);
  // What was to be done to another message has no place of its own.
  if (!envelope || said.does !== 'say' || mapped.does !== 'say' || 'target' in mapped.content)
    return;
  try {
    await write(context, (tx) =>
      applyMessage(tx, context, { envelope, said, info, raw: row.plain }),
    );
  } catch (error) {
    context.log.warn({ error, row: row.id }, 'nor can its place be shown');
  }
}

function voteWaits(error: unknown): string | undefined {
  const cause = error instanceof ClarinError ? error.cause : error;
  return cause instanceof VoteWaits ? cause.message : undefined;
}

function isAway(error: unknown): boolean {
  return error instanceof ClarinError && error.code !== 'timeout' && error.code !== 'conflict';
}
