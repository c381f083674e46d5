import type { proto } from '@whiskeysockets/baileys';
import { beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { keepWhatsappMessage } from '../../server/commands/keep-whatsapp-message.ts';
import { encodePoll } from '../../server/whatsapp/map-poll.ts';
import { eventually } from '../support/eventually.ts';
import { openInboundWorld, type InboundWorld, type Receiving } from './whatsapp-inbound-world.ts';
import { sealVote } from './whatsapp/sealed-vote.ts';
import { ANA, attrsOf, GROUP, ME, T } from './whatsapp/stanzas.ts';

let world: InboundWorld;

beforeAll(async () => {
  world = await openInboundWorld();
});

const messageSecret = new Uint8Array(32).fill(5);
const POLL: proto.IMessage = {
  pollCreationMessageV3: {
    name: 'When?',
    options: [{ optionName: 'Today' }, { optionName: 'Never' }],
    selectableOptionsCount: 1,
  },
  messageContextInfo: { messageSecret },
};
const voteFor = (
  options: string[],
  { creator = ANA.lid, voter = ANA.lid, at = T } = {},
): proto.IMessage => ({
  pollUpdateMessage: {
    pollCreationMessageKey: { id: 'POLL', remoteJid: ANA.lid },
    vote: sealVote({ pollId: 'POLL', secret: messageSecret, creator, voter, options }),
    senderTimestampMs: at * 1_000,
  },
});
const votes = (device: Receiving) =>
  device.all(sql`
    select voter_jid, options from public.poll_votes where account_id = ${device.accountId} order by voter_jid`);

describe('votes', () => {
  it('in a poll of theirs: the newest of each, ours among them', async () => {
    const device = await world.device();
    await device.decrypted(attrsOf('POLL'), POLL);
    expect(await device.message('POLL')).toMatchObject({ message_type: 'poll', body: 'When?' });
    await device.decrypted(attrsOf('V1'), voteFor(['Today']));
    await device.decrypted(
      attrsOf('V2', { t: String(T + 1) }),
      voteFor(['Never'], { at: T + 1, voter: ANA.jid }),
    );
    const ours = {
      id: 'V3',
      from: '51900000001:0@s.whatsapp.net',
      recipient: ANA.lid,
      peer_recipient_pn: ANA.jid,
      t: String(T),
    };
    await device.decrypted(ours, voteFor(['Today'], { voter: ME.jid, creator: ANA.jid }));
    await device.settled();
    expect(await votes(device)).toEqual([
      { voter_jid: ANA.jid, options: '{Never}' },
      { voter_jid: 'me', options: '{Today}' },
    ]);
    expect(await device.messages()).toHaveLength(1);
  });

  it('that overtake their poll wait for it', async () => {
    const device = await world.device();
    await device.decrypted(attrsOf('V1'), voteFor(['Today']));
    await eventually(
      async () => {
        const [row] = await device.all(sql`
          select error from private.whatsapp_inbox where device_id = ${device.deviceId} and next_at > now()`);
        return row?.['error'] === 'waits for the poll POLL';
      },
      { says: 'the vote waits' },
    );
    await device.decrypted(attrsOf('POLL'), POLL);
    await eventually(async () => (await votes(device)).length === 1, { says: 'the vote counts' });
    await device.settled();
  });

  it('that were looked at in vain again and again have not failed by it', async () => {
    const device = await world.device();
    await device.decrypted(attrsOf('V1'), voteFor(['Today']));
    const looked = async (): Promise<boolean> => {
      const [row] = await device.all(sql`
        select attempts, error from private.whatsapp_inbox where device_id = ${device.deviceId} and next_at > now()`);
      if (row) expect(row).toEqual({ attempts: '0', error: 'waits for the poll POLL' });
      return row !== undefined;
    };
    for (let look = 0; look < 6; look++) {
      await eventually(looked, { says: 'it waits' });
      await device.all(sql`
        update private.whatsapp_inbox set next_at = now() where device_id = ${device.deviceId}`);
      device.inbound.ring();
    }
    await eventually(looked, { says: 'it waits' });
  });

  it('in a poll that was sent from here', async () => {
    const device = await world.device();
    const { accountId, deviceId } = device;
    await device.decrypted(attrsOf('IN'), { conversation: 'Hi' });
    const { chat_id: chatId } = await device.message('IN');
    await world.owner.query(sql`
      insert into public.messages (account_id, chat_id, message_id, message_type, body, poll, is_from_me, status)
      values (${accountId}, ${chatId}, 'POLL', 'poll', 'When?', '{"options": ["Today", "Never"]}', true, 'sent')`);
    const message = encodePoll(POLL, messageSecret);
    const kept = {
      accountId,
      deviceId,
      messageId: 'POLL',
      isFromMe: true,
      purpose: 'poll',
      message,
      daysMax: 1,
    } as const;
    await world.owner.transaction((tx) => keepWhatsappMessage(tx, device.context.box, kept));
    await device.decrypted(
      attrsOf('V1'),
      voteFor(['Today'], { creator: ME.lid ?? '', voter: ANA.lid }),
    );
    await eventually(async () => (await votes(device)).length === 1, { says: 'the vote counts' });
    expect(await votes(device)).toEqual([{ voter_jid: ANA.jid, options: '{Today}' }]);
  });

  it('in a group are each member’s own', async () => {
    const device = await world.device();
    await device.all(
      sql`update public.devices set receive_groups = true where id = ${device.deviceId}`,
    );
    const from = (id: string, participant: string) => ({
      id,
      from: GROUP,
      participant,
      addressing_mode: 'lid',
      t: String(T),
    });
    const bea = '55555555555555@lid';
    await device.decrypted(from('POLL', ANA.lid), POLL);
    await device.decrypted(from('V1', bea), voteFor(['Today'], { voter: bea }));
    await device.decrypted(from('V2', ANA.lid), voteFor([]));
    await device.settled();
    expect(await votes(device)).toEqual([
      { voter_jid: bea, options: '{Today}' },
      { voter_jid: ANA.lid, options: '{}' },
    ]);
  });
});
