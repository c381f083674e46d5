import { parseJid } from '../../domain/jid.ts';

/** As wide as the columns that hold a stanza's id. */
const STANZA_ID_MAX = 128;
/** Beyond it a time is no time: the year 5138. */
const SECONDS_MAX = 1e11;
/** How far another clock may be ahead of ours before its time is not believed. */
const AHEAD_MS_MAX = 60_000;
const DAY_MS = 86_400_000;

/** Of a field of protobuf's, which is an object (`Long`) where it is 64 bits wide. Undefined for what is no number. */
export function readNumber(value: unknown): number | undefined {
  const number = isLong(value) ? value.toNumber() : value;
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined;
}

function isLong(value: unknown): value is { toNumber(): number } {
  return typeof value === 'object' && value !== null && 'toNumber' in value;
}

/** Text that Postgres takes, also within jsonb: without halves of characters. Undefined where there is nothing to read. */
export function readText(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.trim() === '') return undefined;
  return value.toWellFormed();
}

/** The id of a stanza. Undefined for one that no column takes. */
export function readStanzaId(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '' || value.length > STANZA_ID_MAX) return undefined;
  return value.includes('\0') || !value.isWellFormed() ? undefined : value;
}

/** Unix seconds as RFC 3339. What is no time, or far ahead of ours, is now. */
export function readSeconds(value: unknown, nowMs: number): string {
  const seconds = readNumber(value) ?? 0;
  const isTime = seconds > 0 && seconds < SECONDS_MAX && seconds * 1_000 <= nowMs + DAY_MS;
  return new Date(isTime ? seconds * 1_000 : nowMs).toISOString();
}

/**
 * When somebody did something to a message, in milliseconds of their own clock, so that two edits within one second have
 * an order: believed as long as it is not far from `sentAt`, the server's.
 */
export function readMoment(value: unknown, sentAt: string): string {
  const ms = readNumber(value) ?? 0;
  const sentMs = Date.parse(sentAt);
  const isNear = ms >= sentMs - DAY_MS && ms <= sentMs + AHEAD_MS_MAX;
  return isNear ? new Date(Math.trunc(ms)).toISOString() : sentAt;
}

/** A person by number, LID, or both; or a group. `jid` is the number where it is known, `lid` then what it is besides. */
export type Party = { readonly jid: string; readonly lid: string | undefined };

/** A number and the LID of who has it. */
export type AddressPair = { readonly jid: string; readonly lid: string };

/**
 * Whom two addresses name, in whichever order they come. The second one is believed where it is of the other kind only:
 * it says nothing of a group. Undefined: nobody that there is a conversation with.
 */
export function readParty(one: unknown, other?: unknown): Party | undefined {
  const first = readAddress(one);
  const second = readAddress(other);
  if (!first) return undefined;
  if (first.kind === 'group') return { jid: first.address, lid: undefined };
  if (second?.kind === 'group' || second?.kind === first.kind || !second)
    return { jid: first.address, lid: undefined };
  const [number, lid] = first.kind === 'user' ? [first, second] : [second, first];
  return { jid: number.address, lid: lid.address };
}

export function pairOf(party: Party | undefined): AddressPair | undefined {
  return party?.lid === undefined ? undefined : { jid: party.jid, lid: party.lid };
}

function readAddress(
  text: unknown,
): { kind: 'user' | 'lid' | 'group'; address: string } | undefined {
  const jid = typeof text === 'string' ? parseJid(text) : undefined;
  if (jid?.kind !== 'user' && jid?.kind !== 'lid' && jid?.kind !== 'group') return undefined;
  return { kind: jid.kind, address: jid.address };
}
