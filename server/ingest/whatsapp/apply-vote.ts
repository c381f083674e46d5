import type { Queries } from '../../../platform/postgres.ts';
import type { SecretBox } from '../../../platform/secret-box.ts';
import { readWhatsappMessages } from '../../commands/keep-whatsapp-message.ts';
import { recordPollVote } from '../../commands/record-poll-vote.ts';
import { findPoll } from '../../commands/waiting-votes.ts';
import type { Envelope, Me } from '../../whatsapp/map-message.ts';
import { openVote, type EncryptedVote } from '../../whatsapp/poll-vote.ts';
import { readParty, type Party } from '../../whatsapp/read-values.ts';

type Owner = { readonly accountId: number; readonly deviceId: number; readonly box: SecretBox };

type Vote = {
  readonly envelope: Envelope;
  readonly vote: EncryptedVote;
  readonly me: Me;
  /** The other address of somebody, where it is known. */
  readonly otherOf: (jid: string) => Promise<string | undefined>;
};

/**
 * `absent`: the poll is not there (yet). `sealed`: it is, and does not open the vote: that was made for something else, or
 * by somebody under an address that nobody here knows.
 */
export type VoteEnd = 'recorded' | 'absent' | 'sealed';

/** A vote, in the caller's transaction. */
export async function applyVote(tx: Queries, owner: Owner, given: Vote): Promise<VoteEnd> {
  const { accountId, deviceId, box } = owner;
  const { envelope, vote, me } = given;
  const { pollId, votedAt } = vote;
  const place = await findPoll(tx, { accountId, deviceId, pollId, ...envelope.chat });
  const kept = await readWhatsappMessages(tx, box, { accountId, deviceId, messageId: pollId });
  if (!place || kept.length === 0) return 'absent';
  const voter = envelope.isGroup ? envelope.writer : envelope.chat;
  const voters = await spellings(given, envelope.isFromMe ? [me.jid, me.lid] : namesOf(voter));
  const creators = await spellings(given, [
    vote.creator,
    place.fromJid,
    me.jid,
    me.lid,
    ...(envelope.isGroup ? [] : namesOf(envelope.chat)),
  ]);
  for (const { message } of kept) {
    const options = openVote(vote, { poll: message, creators, voters });
    if (!options) continue;
    // In a conversation of two they have the name that their messages have.
    const theirs = envelope.isGroup ? envelope.from : place.chatJid;
    const name = envelope.isFromMe ? undefined : theirs;
    await recordPollVote(tx, {
      accountId,
      chatId: place.chatId,
      pollMessageId: pollId,
      voter: name,
      options,
      votedAt,
    });
    return 'recorded';
  }
  return 'sealed';
}

function namesOf(party: Party | undefined): (string | undefined)[] {
  return [party?.jid, party?.lid];
}

/** Addresses without devices, each once, and the other address of each. */
async function spellings(
  { otherOf }: Pick<Vote, 'otherOf'>,
  names: readonly (string | undefined)[],
): Promise<string[]> {
  const known = new Set<string>();
  for (const name of names) {
    const address = readParty(name)?.jid;
    if (address === undefined || address.endsWith('@g.us') || known.has(address)) continue;
    known.add(address);
    const other = readParty(await otherOf(address))?.jid;
    if (other !== undefined) known.add(other);
  }
  return [...known];
}
