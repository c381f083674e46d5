import { createHash } from 'node:crypto';
import { decryptPollVote, proto } from '@whiskeysockets/baileys';
import { pollOptions } from './map-poll.ts';
import type { Envelope } from './map-message.ts';
import { readMoment, readStanzaId } from './read-values.ts';

/** A vote as it comes: only who has the poll can say for what. */
export type EncryptedVote = {
  /** The stanza of the poll. */
  readonly pollId: string;
  /** Who made the poll, as whoever votes has it; undefined where the key does not say. */
  readonly creator: string | undefined;
  readonly encPayload: Uint8Array;
  readonly encIv: Uint8Array;
  /** RFC 3339. */
  readonly votedAt: string;
};

type Opening = {
  /** Encoded, as `encodePoll` gives it. */
  readonly poll: Uint8Array;
  /** Under which addresses who made the poll, and who votes, may have been known to whoever votes. */
  readonly creators: readonly string[];
  readonly voters: readonly string[];
};

/** Undefined: no vote, or none that can be opened. */
export function readVote(
  { pollUpdateMessage: update }: proto.IMessage,
  { sentAt }: Pick<Envelope, 'sentAt'>,
): EncryptedVote | undefined {
  const pollId = readStanzaId(update?.pollCreationMessageKey?.id);
  const { encPayload, encIv } = update?.vote ?? {};
  if (!update || pollId === undefined || !encPayload?.length || !encIv?.length) return undefined;
  const { participant, remoteJid } = update.pollCreationMessageKey ?? {};
  const votedAt = readMoment(update.senderTimestampMs, sentAt);
  return { pollId, creator: participant ?? remoteJid ?? undefined, encPayload, encIv, votedAt };
}

/**
 * Names of the options somebody voted for; none: the vote is taken back. Both addresses of both people are tried, for
 * the key of a vote is made of the addresses that the voter's phone had at hand. Undefined: it cannot be opened.
 */
export function openVote(vote: EncryptedVote, opening: Opening): string[] | undefined {
  const poll = decodePoll(opening.poll);
  const pollEncKey = poll?.messageContextInfo?.messageSecret;
  if (!poll || !pollEncKey?.length) return undefined;
  const names = new Map(pollOptions(poll).map((name) => [hashOf(name), name]));
  for (const pollCreatorJid of opening.creators) {
    for (const voterJid of opening.voters) {
      try {
        const { selectedOptions } = decryptPollVote(vote, {
          pollCreatorJid,
          pollMsgId: vote.pollId,
          pollEncKey,
          voterJid,
        });
        return (selectedOptions ?? []).flatMap(
          (hash) => names.get(Buffer.from(hash).toString('hex')) ?? [],
        );
      } catch {
        // Another spelling, then.
      }
    }
  }
  return undefined;
}

function decodePoll(bytes: Uint8Array): proto.IMessage | undefined {
  try {
    return proto.Message.decode(bytes);
  } catch {
    return undefined;
  }
}

function hashOf(option: string): string {
  return createHash('sha256').update(option, 'utf8').digest('hex');
}
