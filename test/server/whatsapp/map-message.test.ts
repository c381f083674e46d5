import { proto } from '@whiskeysockets/baileys';
import { describe, expect, it } from 'vitest';
import { decode, said } from './decoding.ts';
import { ANA, GROUP, ME, T } from './stanzas.ts';

const SENT_AT = new Date(T * 1_000).toISOString();
const { Type } = proto.Message.ProtocolMessage;

describe('what goes with it', () => {
  it('is what it answers, and that it was said elsewhere before', () => {
    const contextInfo = {
      stanzaId: 'OLD',
      participant: '51900000001:3@s.whatsapp.net',
      quotedMessage: { imageMessage: { caption: 'Mine' } },
      isForwarded: true,
    };
    const mapped = said({ extendedTextMessage: { text: '@51911111111 yes', contextInfo } });
    expect(mapped).toMatchObject({
      content: { kind: 'text', text: '@51911111111 yes' },
      quoted: { messageId: 'OLD', from: ME.jid, text: 'Mine' },
      isForwarded: true,
    });
  });

  it('is who it is from by both addresses, whichever came first', () => {
    const byLid = decode({ conversation: 'Hi' }).envelope;
    expect(byLid).toMatchObject({
      messageId: 'M1',
      chat: ANA,
      isFromMe: false,
      fromName: 'Ana',
      sentAt: SENT_AT,
    });
    const attrs = {
      id: 'M2',
      from: '51987654321:7@s.whatsapp.net',
      sender_lid: ANA.lid,
      t: String(T),
    };
    expect(decode({ conversation: 'Hi' }, attrs).envelope).toMatchObject({ chat: ANA });
    const alone = { id: 'M3', from: ANA.lid, t: String(T) };
    expect(decode({ conversation: 'Hi' }, alone).envelope?.chat).toEqual({
      jid: ANA.lid,
      lid: undefined,
    });
  });

  it('is whom we wrote to on the phone, and never ourselves', () => {
    const attrs = {
      id: 'M1',
      from: '700000000000001:0@lid',
      sender_pn: ME.jid,
      recipient: ANA.lid,
      peer_recipient_pn: ANA.jid,
      addressing_mode: 'lid',
      t: String(T),
    };
    const message = {
      deviceSentMessage: { destinationJid: ANA.lid, message: { conversation: 'Mine' } },
    };
    expect(decode(message, attrs).envelope).toMatchObject({ chat: ANA, isFromMe: true });
    expect(said(message, attrs).content).toEqual({ kind: 'text', text: 'Mine' });
    const { peer_recipient_pn: _, ...without } = attrs;
    expect(decode(message, without).envelope?.chat).toEqual({ jid: ANA.lid, lid: undefined });
  });

  it('is who wrote it in a group, by the address the group goes by', () => {
    const attrs = {
      id: 'G',
      from: GROUP,
      participant: '99887766554433:4@lid',
      participant_pn: ANA.jid,
      addressing_mode: 'lid',
      t: String(T),
    };
    expect(decode({ conversation: 'All' }, attrs).envelope).toMatchObject({
      chat: { jid: GROUP },
      isGroup: true,
      from: ANA.lid,
      writer: ANA,
    });
  });

  it('is nowhere for status updates, channels and what has no id', () => {
    const of = (attrs: Record<string, string>) => decode({ conversation: 'x' }, attrs);
    const nowhere = { envelope: undefined, mapped: { does: 'nothing' } };
    expect(of({ id: 'S', from: 'status@broadcast', participant: ANA.jid, t: '1' })).toMatchObject(
      nowhere,
    );
    expect(of({ id: 'N', from: '1200@newsletter', t: '1' })).toMatchObject(nowhere);
    expect(of({ from: ANA.jid, t: '1' })).toMatchObject(nowhere);
    const list = of({ id: 'L', from: '15@broadcast', participant: ANA.jid, t: String(T) });
    expect(list.envelope?.chat.jid).toBe(ANA.jid);
  });

  it('is when an edit and a reaction were made, to the millisecond, unless that cannot be', () => {
    const edit = (timestampMs: number) =>
      said({
        protocolMessage: {
          type: Type.MESSAGE_EDIT,
          key: { id: 'O' },
          editedMessage: { conversation: 'N' },
          timestampMs,
        },
      }).at;
    expect(edit(T * 1_000 + 123)).toBe(new Date(T * 1_000 + 123).toISOString());
    expect(edit(T * 1_000 + 9e9)).toBe(SENT_AT);
    const reaction = {
      reactionMessage: { key: { id: 'O' }, text: '👍', senderTimestampMs: T * 1_000 + 7 },
    };
    expect(said(reaction).at).toBe(new Date(T * 1_000 + 7).toISOString());
  });
});
