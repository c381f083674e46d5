import { proto } from '@whiskeysockets/baileys';
import { describe, expect, it } from 'vitest';
import { does, said } from './decoding.ts';
import { GROUP, T } from './stanzas.ts';

const { Type } = proto.Message.ProtocolMessage;
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
