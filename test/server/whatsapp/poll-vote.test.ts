import { proto } from '@whiskeysockets/baileys';
import { describe, expect, it } from 'vitest';
import { openVote, readVote } from '../../../server/whatsapp/poll-vote.ts';
import { encodePoll } from '../../../server/whatsapp/map-poll.ts';
import { sealVote } from './sealed-vote.ts';
import { ANA, ME, T } from './stanzas.ts';

const secret = new Uint8Array(32).fill(9);
const pollCreationMessage = {
  name: 'When?',
  options: [{ optionName: 'Today' }, { optionName: 'Mañana' }],
  selectableOptionsCount: 0,
};
const poll = encodePoll({ pollCreationMessage }, secret);
const at = new Date(T * 1_000).toISOString();

const vote = (creator: string, voter: string, options: string[]) => {
  const update = {
    pollCreationMessageKey: { id: 'POLL', remoteJid: ME.jid },
    vote: sealVote({ pollId: 'POLL', secret, creator, voter, options }),
  };
  const message = proto.Message.decode(
    proto.Message.encode({ pollUpdateMessage: update }).finish(),
  );
  const read = readVote(message, { sentAt: at });
  if (!read) throw new Error('no vote');
  return read;
};
const everybody = { poll, creators: [ME.jid, ME.lid ?? ''], voters: [ANA.jid, ANA.lid] };

describe('a vote', () => {
  it.each([
    [ME.jid, ANA.jid],
    [ME.jid, ANA.lid],
    [ME.lid ?? '', ANA.jid],
    [ME.lid ?? '', ANA.lid],
  ])('is opened whichever addresses it was sealed with: %s, %s', (creator, voter) => {
    const sealed = vote(creator, voter, ['Mañana', 'Today']);
    expect(openVote(sealed, everybody)).toEqual(['Mañana', 'Today']);
  });

  it('that is taken back has no options', () => {
    expect(openVote(vote(ME.jid, ANA.jid, []), everybody)).toEqual([]);
  });

  it('stays closed to other secrets and other people', () => {
    const other = encodePoll({ pollCreationMessage }, new Uint8Array(32).fill(8));
    const sealed = vote(ME.jid, ANA.jid, ['Today']);
    expect(openVote(sealed, { ...everybody, poll: other })).toBeUndefined();
    expect(
      openVote(sealed, { ...everybody, voters: ['51911111111@s.whatsapp.net'] }),
    ).toBeUndefined();
    expect(openVote(sealed, { ...everybody, poll: Uint8Array.of(255) })).toBeUndefined();
  });

  it('is none without a poll or without what was chosen', () => {
    expect(
      readVote({ pollUpdateMessage: { pollCreationMessageKey: { id: 'POLL' } } }, { sentAt: at }),
    ).toBeUndefined();
    expect(readVote({ conversation: 'x' }, { sentAt: at })).toBeUndefined();
  });
});
