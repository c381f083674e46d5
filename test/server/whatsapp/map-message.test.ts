import { proto } from '@whiskeysockets/baileys';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { columnsOf } from '../../../server/commands/received-content.ts';
import { decodeStanza, type Decoded } from '../../../server/whatsapp/decode-stanza.ts';
import type { Said } from '../../../server/whatsapp/map-message.ts';
import { ANA, attrsOf, GROUP, ME, NOW_MS, padded, T } from './stanzas.ts';

const SENT_AT = new Date(T * 1_000).toISOString();
const { Type } = proto.Message.ProtocolMessage;

const decode = (message: proto.IMessage, attrs = attrsOf('M1')): Decoded =>
  decodeStanza({ attrs, plain: padded(message) }, { me: ME, nowMs: NOW_MS });

function said(message: proto.IMessage, attrs?: Record<string, string>): Said {
  const { mapped } = decode(message, attrs);
  if (mapped.does !== 'say') throw new Error(`it does ${mapped.does}`);
  return mapped;
}
const does = (message: proto.IMessage, attrs?: Record<string, string>) =>
  decode(message, attrs).mapped.does;

const FILE = { mediaKey: new Uint8Array(32), directPath: '/v/t1', fileLength: 1_234 };
const POLL = {
  name: 'When?',
  options: [{ optionName: 'Today' }, { optionName: 'Never' }],
  selectableOptionsCount: 1,
};

describe('what a message says', () => {
  const table: [string, proto.IMessage, unknown][] = [
    ['a text', { conversation: 'Hello' }, { kind: 'text', text: 'Hello' }],
    [
      'a text with a preview',
      { extendedTextMessage: { text: 'See https://x.pe' } },
      { kind: 'text', text: 'See https://x.pe' },
    ],
    [
      'a picture',
      { imageMessage: { ...FILE, mimetype: 'image/png', caption: 'Look' } },
      { kind: 'image', caption: 'Look', file: { mimetype: 'image/png', size: 1_234 } },
    ],
    [
      'a video',
      { videoMessage: { ...FILE, mimetype: 'video/mp4', seconds: 7 } },
      {
        kind: 'video',
        caption: undefined,
        file: { mimetype: 'video/mp4', size: 1_234, durationSeconds: 7 },
      },
    ],
    [
      'a round video',
      { ptvMessage: { ...FILE, seconds: 3 } },
      {
        kind: 'video',
        caption: undefined,
        file: { mimetype: 'video/mp4', size: 1_234, durationSeconds: 3 },
      },
    ],
    [
      'a voice note',
      { audioMessage: { ...FILE, mimetype: 'audio/ogg; codecs=opus', seconds: 12, ptt: true } },
      {
        kind: 'audio',
        file: {
          mimetype: 'audio/ogg; codecs=opus',
          size: 1_234,
          durationSeconds: 12,
          isVoice: true,
        },
      },
    ],
    [
      'a document',
      { documentMessage: { ...FILE, mimetype: 'application/pdf', fileName: 'price list.pdf' } },
      {
        kind: 'document',
        caption: undefined,
        file: { mimetype: 'application/pdf', size: 1_234, filename: 'price list.pdf' },
      },
    ],
    [
      'a sticker',
      { stickerMessage: FILE },
      { kind: 'sticker', file: { mimetype: 'image/webp', size: 1_234 } },
    ],
    [
      'a place',
      {
        locationMessage: {
          degreesLatitude: -12.05,
          degreesLongitude: -77.04,
          name: 'Lima',
          address: 'Plaza',
        },
      },
      { kind: 'location', latitude: -12.05, longitude: -77.04, name: 'Lima', address: 'Plaza' },
    ],
    [
      'a place that moves',
      { liveLocationMessage: { degreesLatitude: 1, degreesLongitude: 2, caption: 'On my way' } },
      { kind: 'location', latitude: 1, longitude: 2, name: 'On my way', address: undefined },
    ],
    [
      'a place that is on no map',
      { locationMessage: { degreesLatitude: 91, degreesLongitude: 2 } },
      { kind: 'unknown' },
    ],
    [
      'a card',
      { contactMessage: { displayName: 'Bea', vcard: 'BEGIN:VCARD' } },
      { kind: 'contact', vcard: 'BEGIN:VCARD' },
    ],
    [
      'cards',
      { contactsArrayMessage: { contacts: [{ vcard: 'ONE' }, { vcard: 'TWO' }] } },
      { kind: 'contact', vcard: 'ONE\nTWO' },
    ],
    ...(['pollCreationMessage', 'pollCreationMessageV2', 'pollCreationMessageV3'] as const).map(
      (name): [string, proto.IMessage, unknown] => [
        `a poll (${name})`,
        { [name]: POLL },
        { kind: 'poll', question: 'When?', options: ['Today', 'Never'], selectable: 1 },
      ],
    ),
    [
      'what was chosen from buttons',
      { buttonsResponseMessage: { selectedDisplayText: 'Yes', selectedButtonId: '1' } },
      { kind: 'text', text: 'Yes' },
    ],
    [
      'a form of a business',
      { interactiveMessage: { header: { title: 'Offer' }, body: { text: 'Two for one' } } },
      { kind: 'text', text: 'Offer\nTwo for one' },
    ],
    [
      'a form with a picture',
      { templateMessage: { hydratedTemplate: { hydratedContentText: 'New', imageMessage: FILE } } },
      { kind: 'image', caption: 'New', file: { mimetype: 'image/jpeg', size: 1_234 } },
    ],
    [
      'a missed call',
      { callLogMesssage: { isVideo: false, callOutcome: 1 } },
      { kind: 'system', text: 'Missed voice call' },
    ],
    [
      'messages that disappear',
      { protocolMessage: { type: Type.EPHEMERAL_SETTING, ephemeralExpiration: 604_800 } },
      { kind: 'system', text: 'Messages disappear after 7 days' },
    ],
    ['what nobody knows yet', { placeholderMessage: { type: 0 } }, { kind: 'unknown' }],
    [
      'a reaction',
      { reactionMessage: { key: { id: 'OLD' }, text: '👍' } },
      { kind: 'reaction', target: 'OLD', emoji: '👍' },
    ],
    [
      'a reaction taken back',
      { reactionMessage: { key: { id: 'OLD' }, text: '' } },
      { kind: 'reaction', target: 'OLD', emoji: null },
    ],
    [
      'a revocation',
      { protocolMessage: { type: Type.REVOKE, key: { id: 'OLD' } } },
      { kind: 'revoke', target: 'OLD' },
    ],
    [
      'an edit',
      {
        protocolMessage: {
          type: Type.MESSAGE_EDIT,
          key: { id: 'OLD' },
          editedMessage: { conversation: 'New' },
        },
      },
      { kind: 'edit', target: 'OLD', text: 'New' },
    ],
    [
      'an edit, wrapped, of a caption',
      {
        editedMessage: {
          message: {
            protocolMessage: {
              type: Type.MESSAGE_EDIT,
              key: { id: 'OLD' },
              editedMessage: { imageMessage: { caption: 'New' } },
            },
          },
        },
      },
      { kind: 'edit', target: 'OLD', text: 'New' },
    ],
  ];
  it.each(table)('%s', (_, message, content) => {
    expect(said(message).content).toEqual(content);
  });

  const picture = { imageMessage: { ...FILE, viewOnce: true } };
  it.each([
    'ephemeralMessage',
    'viewOnceMessage',
    'viewOnceMessageV2',
    'viewOnceMessageV2Extension',
    'botInvokeMessage',
    'associatedChildMessage',
  ] as const)('is the same within %s', (wrapper) => {
    expect(said({ [wrapper]: { message: picture } }).content.kind).toBe('image');
    const twice = { deviceSentMessage: { message: { [wrapper]: { message: picture } } } };
    expect(said(twice).content.kind).toBe('image');
  });

  it('is a document with its caption', () => {
    const documentMessage = { ...FILE, fileName: 'a.pdf', caption: 'The contract' };
    const { content } = said({ documentWithCaptionMessage: { message: { documentMessage } } });
    expect(content).toMatchObject({
      kind: 'document',
      caption: 'The contract',
      file: { filename: 'a.pdf' },
    });
  });

  it('is nothing when only our devices are meant, or only keys are passed', () => {
    const key = { groupId: GROUP, axolotlSenderKeyDistributionMessage: new Uint8Array(3) };
    expect(does({ senderKeyDistributionMessage: key })).toBe('nothing');
    expect(does({ messageContextInfo: { messageSecret: new Uint8Array(32) } })).toBe('nothing');
    expect(does({ protocolMessage: { type: Type.APP_STATE_SYNC_KEY_SHARE } })).toBe('nothing');
    expect(does({ pinInChatMessage: { key: { id: 'X' } } })).toBe('nothing');
    expect(does({ albumMessage: { expectedImageCount: 2 } })).toBe('nothing');
    expect(does({})).toBe('nothing');
  });

  it('keeps with a poll what its votes are opened with, and with a file how it is fetched', () => {
    const secret = new Uint8Array(32).fill(7);
    const { poll } = said({
      pollCreationMessageV3: POLL,
      messageContextInfo: { messageSecret: secret },
    });
    const kept = proto.Message.decode(poll ?? new Uint8Array());
    expect(kept.messageContextInfo?.messageSecret).toEqual(Buffer.from(secret));
    expect(kept.pollCreationMessage?.name).toBe('When?');
    const { fetchable } = said({ ephemeralMessage: { message: { imageMessage: FILE } } });
    expect(fetchable?.imageMessage?.directPath).toBe('/v/t1');
  });

  it('believes our own devices only when they speak of history', () => {
    const message = {
      protocolMessage: {
        type: Type.HISTORY_SYNC_NOTIFICATION,
        historySyncNotification: { syncType: 0 },
      },
    };
    expect(does(message)).toBe('nothing');
    const peer = { id: 'H', from: '51900000001:0@s.whatsapp.net', t: String(T), category: 'peer' };
    expect(does(message, peer)).toBe('history');
  });
});

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

describe('whatever comes', () => {
  const attrs = fc.dictionary(
    fc.constantFrom(
      'id',
      'from',
      'participant',
      'recipient',
      't',
      'sender_pn',
      'participant_lid',
      'notify',
    ),
    fc.oneof(
      fc.string(),
      fc.constantFrom(ANA.jid, ANA.lid, ME.jid, GROUP, 'status@broadcast', String(T), '-1'),
    ),
  );

  it('never throws on bytes, and keeps a place for what cannot be read', () => {
    fc.assert(
      fc.property(attrs, fc.uint8Array({ maxLength: 200 }), (given, plain) => {
        const { envelope, mapped } = decodeStanza(
          { attrs: given, plain },
          { me: ME, nowMs: NOW_MS },
        );
        if (!envelope) expect(mapped).toEqual({ does: 'nothing' });
      }),
      { numRuns: 2_000 },
    );
    const broken = decodeStanza(
      { attrs: attrsOf('B'), plain: Uint8Array.of(255, 255, 1) },
      { me: ME, nowMs: NOW_MS },
    );
    expect(broken.mapped).toMatchObject({ does: 'say', content: { kind: 'unknown' } });
  });

  it('never throws on a decoded message, and what it gives fits into the columns', () => {
    fc.assert(
      fc.property(messages(), (message) => {
        const { mapped } = decode(message);
        if (mapped.does === 'say') expect(() => columnsOf(mapped.content)).not.toThrow();
      }),
      { numRuns: 1_000 },
    );
  });
});

/** Messages of any fields, filled as their types say with anything, and packed in each other. */
function messages(): fc.Arbitrary<proto.IMessage> {
  const names = Object.keys(proto.Message.prototype).filter(
    (name) => /^[a-z]/.test(name) && name !== 'conversation',
  );
  const text = fc.oneof(fc.string(), fc.constant('\ud800\0'), fc.constant(''));
  const key = fc.record({ id: text, remoteJid: text, fromMe: fc.boolean() }, { requiredKeys: [] });
  const inner = fc.record(
    {
      text,
      name: text,
      caption: text,
      key,
      type: fc.integer({ min: 0, max: 40 }),
      vcard: text,
      seconds: fc.integer(),
      fileLength: fc.maxSafeNat(),
      degreesLatitude: fc.double(),
      degreesLongitude: fc.double(),
      options: fc.array(fc.record({ optionName: text })),
      contextInfo: fc.record({
        stanzaId: text,
        participant: text,
        quotedMessage: fc.constant({ conversation: 'q' }),
      }),
      message: fc.constantFrom({ conversation: 'in' }, {}, { imageMessage: {} }),
    },
    { requiredKeys: [] },
  );
  return fc.dictionary(fc.constantFrom(...names), inner, { maxKeys: 3 }).map((object) => {
    try {
      return proto.Message.decode(proto.Message.encode(proto.Message.fromObject(object)).finish());
    } catch {
      return {};
    }
  });
}
