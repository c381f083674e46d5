import { proto } from '@whiskeysockets/baileys';
import { describe, expect, it } from 'vitest';
import {
  buildContent,
  envelopeOf,
  isVoice,
  type UploadedFile,
} from '../../../server/whatsapp/build-content.ts';
import type { OutgoingRow } from '../../../server/whatsapp/outgoing-row.ts';

const ME = '51900000001@s.whatsapp.net';
const THEM = '51999000001@s.whatsapp.net';
const GROUP = '120363000000000001@g.us';
const SECRET = Buffer.alloc(32, 7);
const NOW = 1_800_000_000_000;

const UPLOADED: UploadedFile = {
  url: 'https://mmg.whatsapp.net/o1/f',
  directPath: '/o1/f',
  mediaKey: Buffer.alloc(32, 1),
  fileSha256: Buffer.alloc(32, 2),
  fileEncSha256: Buffer.alloc(32, 3),
  fileLength: 1_234,
  mediaKeyTimestamp: NOW / 1_000,
  seconds: 3.4,
};

const row = (values: Partial<OutgoingRow>): OutgoingRow => ({
  id: 1,
  chatId: 2,
  jid: THEM,
  stanzaId: '3EB0A',
  type: 'text',
  body: undefined,
  media: {},
  file: undefined,
  poll: {},
  location: {},
  quoted: undefined,
  target: undefined,
  isForwarded: false,
  ...values,
});

const file = (mimetype: string, filename?: string) => ({
  id: 3,
  objectKey: '1/x',
  mimetype,
  filename,
  size: 1_234,
});

/** As the other side gets it: encoded and decoded, so that what the schema does not know shows. */
const built = (values: Partial<OutgoingRow>) => {
  const message = buildContent(row(values), {
    me: ME,
    now: NOW,
    secret: SECRET,
    uploaded: UPLOADED,
  });
  if (!message) return undefined;
  const decoded = proto.Message.decode(
    proto.Message.encode(proto.Message.fromObject(message)).finish(),
  );
  const { messageContextInfo, ...content } = proto.Message.toObject(decoded, {
    longs: Number,
  }) as proto.IMessage;
  return { content, secret: messageContextInfo?.messageSecret };
};

describe('a row becomes a message of WhatsApp', () => {
  it.each([
    [
      'text',
      { body: 'Hello https://example.com' },
      { extendedTextMessage: { text: 'Hello https://example.com' } },
    ],
    [
      'location',
      { location: { latitude: -12, longitude: -77, name: 'Lima', address: 'Center' } },
      {
        locationMessage: {
          degreesLatitude: -12,
          degreesLongitude: -77,
          name: 'Lima',
          address: 'Center',
        },
      },
    ],
    [
      'poll',
      { body: 'When?', poll: { options: ['Today', 'Later'], selectable_count: 1 } },
      {
        pollCreationMessageV3: {
          name: 'When?',
          options: [{ optionName: 'Today' }, { optionName: 'Later' }],
          selectableOptionsCount: 1,
        },
      },
    ],
    [
      'poll',
      { body: 'Which?', poll: { options: ['A', 'B'], selectable_count: 0 } },
      {
        pollCreationMessage: {
          name: 'Which?',
          options: [{ optionName: 'A' }, { optionName: 'B' }],
          selectableOptionsCount: 0,
        },
      },
    ],
    [
      'contact',
      { body: 'BEGIN:VCARD\nFN:Rosa\nEND:VCARD' },
      { contactMessage: { displayName: 'Rosa', vcard: 'BEGIN:VCARD\nFN:Rosa\nEND:VCARD' } },
    ],
    [
      'contact',
      { body: 'BEGIN:VCARD\nFN:Rosa\nEND:VCARD\nBEGIN:VCARD\nN:;;;\nEND:VCARD' },
      {
        contactsArrayMessage: {
          displayName: '2 contacts',
          contacts: [
            { displayName: 'Rosa', vcard: 'BEGIN:VCARD\nFN:Rosa\nEND:VCARD' },
            { displayName: '', vcard: 'BEGIN:VCARD\nN:;;;\nEND:VCARD' },
          ],
        },
      },
    ],
  ])('%s', (type, values, content) => {
    expect(built({ type, ...values })).toEqual({ content, secret: SECRET });
  });

  it('with a file: where it is, the key that opens it, and what it is', () => {
    const { seconds: _, ...where } = UPLOADED;
    const image = built({ type: 'image', file: file('image/png'), body: 'Look' });
    expect(image?.content).toEqual({
      imageMessage: { ...where, mimetype: 'image/png', caption: 'Look' },
    });
    const document = built({ type: 'document', file: file('application/pdf', 'a.pdf') });
    expect(document?.content.documentMessage).toMatchObject({ fileName: 'a.pdf', title: 'a.pdf' });
    const video = built({
      type: 'video',
      file: file('video/mp4'),
      media: { duration_seconds: 61 },
    });
    expect(video?.content.videoMessage).toMatchObject({ seconds: 61, mimetype: 'video/mp4' });
    expect(built({ type: 'sticker', file: file('image/webp') })?.content).toEqual({
      stickerMessage: { ...where, mimetype: 'image/webp' },
    });
  });

  it('a recording as a voice message, other sound as a file', () => {
    const opus = built({ type: 'audio', file: file('audio/ogg; codecs=opus') });
    expect(opus?.content.audioMessage).toMatchObject({ ptt: true, seconds: 3 });
    const song = built({ type: 'audio', file: file('audio/mpeg') });
    expect(song?.content.audioMessage?.ptt).toBe(false);
    expect(isVoice({ is_voice: false, mimetype: 'audio/ogg; codecs=opus' })).toBe(false);
  });

  it('an answer, with as much of what it answers as is shown above it', () => {
    const quoted = { stanzaId: 'IN1', author: THEM, text: 'Good morning', type: 'text', media: {} };
    expect(built({ body: 'And to you', quoted })?.content.extendedTextMessage?.contextInfo).toEqual(
      {
        stanzaId: 'IN1',
        participant: THEM,
        quotedMessage: { conversation: 'Good morning' },
      },
    );
    const ours = { stanzaId: 'OUT', author: undefined, text: 'Us', type: 'image', media: {} };
    const answer = built({ type: 'image', file: file('image/png'), quoted: ours });
    expect(answer?.content.imageMessage?.contextInfo).toMatchObject({
      participant: ME,
      quotedMessage: { imageMessage: { caption: 'Us' } },
    });
  });

  it('a forwarded one says so', () => {
    const text = built({ body: 'Again', isForwarded: true });
    expect(text?.content.extendedTextMessage?.contextInfo).toEqual({
      isForwarded: true,
      forwardingScore: 1,
    });
  });

  it('an action names its message, in a group with who wrote it', () => {
    const theirs = { stanzaId: 'IN1', isFromMe: false, author: THEM };
    expect(built({ type: 'reaction', body: '👍', target: theirs })).toEqual({
      content: {
        reactionMessage: {
          key: { remoteJid: THEM, id: 'IN1', fromMe: false },
          text: '👍',
          senderTimestampMs: NOW,
        },
      },
      secret: undefined,
    });
    const inGroup = built({ type: 'reaction', body: '', jid: GROUP, target: theirs });
    expect(inGroup?.content.reactionMessage).toMatchObject({
      key: { remoteJid: GROUP, participant: THEM },
      text: '',
    });
    const ours = { stanzaId: 'OUT1', isFromMe: true, author: undefined };
    const edit = built({ type: 'edit', body: 'Better', target: ours });
    expect(edit?.content.protocolMessage).toMatchObject({
      type: proto.Message.ProtocolMessage.Type.MESSAGE_EDIT,
      key: { id: 'OUT1', fromMe: true },
      editedMessage: { extendedTextMessage: { text: 'Better' } },
    });
    const revoke = built({ type: 'revoke', target: ours });
    expect(revoke?.content.protocolMessage).toEqual({
      type: proto.Message.ProtocolMessage.Type.REVOKE,
      key: { remoteJid: THEM, id: 'OUT1', fromMe: true },
    });
  });

  it.each([
    ['a type that only comes', { type: 'system' }],
    ['a file that is not there', { type: 'image' }],
    ['a place without coordinates', { type: 'location' }],
    ['a card that is none', { type: 'contact', body: 'Rosa' }],
    ['a poll without options', { type: 'poll', body: 'When?' }],
    ['an action without its message', { type: 'revoke' }],
  ])('is nothing for %s', (_, values) => {
    expect(built(values)).toBeUndefined();
  });
});

describe('what stands around a message', () => {
  const envelope = (values: Partial<OutgoingRow>) => {
    const message = buildContent(row(values), { me: ME, now: NOW, secret: SECRET });
    // As it is when it was kept and is sent again.
    const again = proto.Message.decode(
      proto.Message.encode(proto.Message.fromObject(message ?? {})).finish(),
    );
    return envelopeOf(again);
  };
  const target = { stanzaId: 'OUT1', isFromMe: true, author: undefined };

  it.each([
    ['edit', '1'],
    ['revoke', '7'],
  ])('tells the server of an %s', (type, edit) => {
    expect(envelope({ type, target })).toEqual({
      additionalAttributes: { edit },
      additionalNodes: [],
    });
  });

  it('tells it of a poll, and of a text nothing', () => {
    const { additionalNodes } = envelope({ type: 'poll', poll: { options: ['A', 'B'] } });
    expect(additionalNodes).toEqual([{ tag: 'meta', attrs: { polltype: 'creation' } }]);
    expect(envelope({ body: 'x' })).toEqual({ additionalAttributes: {}, additionalNodes: [] });
  });
});
