import {
  decryptPollVote,
  downloadMediaMessage,
  proto,
  type WAMessage,
} from '@whiskeysockets/baileys';
import { describe, expect, it } from 'vitest';
import * as contents from '../../../fakes/whatsapp/contents.ts';
import type { MediaInput } from '../../../fakes/whatsapp/media-content.ts';
import { eventually } from '../../support/eventually.ts';
import { startOpen } from './support.ts';

const PICTURE = Buffer.from('a picture, as good as any '.repeat(500));

describe('what people write', () => {
  it('a file of every kind can be fetched, over plain HTTP, and is what was put there', async () => {
    const { fake, ana, own, client } = await startOpen();
    const kinds: MediaInput['kind'][] = [
      'image',
      'video',
      'ptv',
      'audio',
      'voice',
      'document',
      'sticker',
    ];
    for (const kind of kinds) {
      const content = await fake.media({ kind, bytes: PICTURE });
      const { id } = await fake.write({ from: ana, to: own }, content);
      const message = await client.message(id);
      const file = await downloadMediaMessage(message, 'buffer', {});
      expect(file.equals(PICTURE)).toBe(true);
    }
  });

  it('a file that is gone answers so, and the phone uploads it again when it is asked', async () => {
    const { fake, ana, own, client } = await startOpen();
    const content = await fake.media({ kind: 'image', bytes: PICTURE, caption: 'mira' });
    const { id } = await fake.write({ from: ana, to: own }, content);
    const message = await client.message(id);
    fake.expire(content, 410);
    await expect(downloadMediaMessage(message, 'buffer', {})).rejects.toMatchObject({
      output: { statusCode: 410 },
    });
    await client.socket.refreshMediaConn();
    const updated = await client.socket.updateMediaMessage(message);
    const { url, directPath } = updated.message?.imageMessage ?? {};
    expect(url).toBe(`${fake.filesUrl}${directPath}`);
    const again = await fetch(`${fake.httpUrl}${directPath}`);
    expect(again.status).toBe(200);

    fake.world.settings.mediaRetry = 'not-found';
    await expect(client.socket.updateMediaMessage(message)).rejects.toMatchObject({
      output: { statusCode: 404 },
    });
  });

  it('a reply, a reaction, an edit, a deletion refer to the message they are about', async () => {
    const { fake, ana, own, client } = await startOpen();
    const who = { from: ana, to: own };
    const { id } = await fake.write(who, 'hola');
    const own1 = { id, isOwn: true, chat: own.jid };
    await fake.write(who, contents.edit(own1, 'hola!'));
    await fake.write(who, contents.revoke(own1));
    const theirs = { id: '3EB0OURS', isOwn: false, chat: own.jid };
    const reaction = await fake.write(who, contents.reaction(theirs, '👍'));
    const quoted = { id: '3EB0OURS', author: own.jid, content: { conversation: 'buenas' } };
    const answer = await fake.write(who, contents.reply('sí', quoted));

    expect((await client.message(answer.id)).message?.extendedTextMessage).toMatchObject({
      text: 'sí',
      contextInfo: { stanzaId: '3EB0OURS', quotedMessage: { conversation: 'buenas' } },
    });
    const { key } = (await client.message(reaction.id)).message?.reactionMessage ?? {};
    // From our side: it was ours.
    expect(key).toMatchObject({ id: '3EB0OURS', fromMe: true, remoteJid: ana.lidJid });
    await eventually(() =>
      client.changes.some(({ key: { id: of }, update }) => of === id && update.message === null),
    );
    const stanzas = fake.world.log.list({ way: 'out', tag: 'message' });
    expect(stanzas.map(({ attrs }) => [attrs['type'], attrs['edit']])).toEqual([
      ['text', undefined],
      ['text', '1'],
      ['text', '7'],
      ['reaction', undefined],
      ['text', undefined],
    ]);
  });

  it('a vote is opened with the secret of the poll, and with nothing else', async () => {
    const { fake, ana, own, client } = await startOpen();
    const sent = await client.socket.sendMessage(ana.phoneJid, {
      poll: { name: '¿Cuándo?', values: ['Lunes', 'Martes'], selectableCount: 1 },
    });
    const id = sent?.key.id ?? '';
    const received = await eventually(() => ana.find(id));
    const secret = received.message.messageContextInfo?.messageSecret as Uint8Array;
    const people = { creator: own.lidJid, voter: ana.lidJid };
    const vote = contents.pollVote({
      poll: { id, isOwn: false, chat: own.jid },
      secret,
      options: ['Martes'],
      ...people,
    });
    const written = await fake.write({ from: ana, to: own }, vote);
    const { pollUpdateMessage: update } = (await client.message(written.id)).message ?? {};
    const open = (pollEncKey: Uint8Array) =>
      decryptPollVote(update?.vote as proto.Message.IPollEncValue, {
        pollCreatorJid: people.creator,
        voterJid: people.voter,
        pollMsgId: id,
        pollEncKey,
      });
    const { selectedOptions } = open(secret);
    expect(selectedOptions).toHaveLength(1);
    expect(() => open(new Uint8Array(32))).toThrow('unable to authenticate');
  });

  it('places, cards, what is to be seen once and what disappears arrive as such', async () => {
    const { fake, ana, own, client } = await startOpen();
    const who = { from: ana, to: own };
    const said: [proto.IMessage, (message: proto.IMessage) => unknown][] = [
      [
        contents.location({ latitude: -12.04, longitude: -77.04 }, 'Lima'),
        (message) => message.locationMessage?.name === 'Lima',
      ],
      [
        contents.contactCard('Rosa', '51912345678'),
        (message) => message.contactMessage?.vcard?.includes('waid=51912345678'),
      ],
      [
        contents.viewOnce(await fake.media({ kind: 'image', bytes: PICTURE })),
        (message) => message.viewOnceMessageV2?.message?.imageMessage,
      ],
      [
        contents.ephemeral({ conversation: 'se va' }),
        (message) => message.ephemeralMessage?.message?.conversation === 'se va',
      ],
      [contents.poll('¿?', ['a', 'b']), (message) => message.pollCreationMessageV3],
    ];
    for (const [content, isIt] of said) {
      const { id } = await fake.write(who, content);
      expect(isIt((await client.message(id)).message ?? {})).toBeTruthy();
    }
  });

  it('is typed, called and read on the own phone', async () => {
    const { fake, ana, own, client } = await startOpen();
    const seen: string[] = [];
    client.socket.ev.on('presence.update', ({ presences }) =>
      seen.push(...Object.values(presences).map(({ lastKnownPresence }) => lastKnownPresence)),
    );
    fake.type({ from: ana, to: own }, 'composing');
    fake.type({ from: ana, to: own }, 'recording');
    fake.appear({ from: ana, to: own }, false);
    await eventually(() => seen.length === 3);
    expect(seen).toEqual(['composing', 'recording', 'unavailable']);

    const call = fake.call({ from: ana, to: own }, { ends: 'missed' });
    const missed = await client.message(call);
    expect(missed.messageStubType).toBe(proto.WebMessageInfo.StubType.CALL_MISSED_VOICE);

    const { id } = await fake.write({ from: ana, to: own }, 'leído');
    await client.message(id);
    fake.readOnPhone({ phone: own, of: ana }, [id]);
    await eventually(() =>
      client.changes.some(({ key, update }) => key.id === id && !key.fromMe && update.status === 4),
    );
  });

  it('on the own phone arrives as our own, with both addresses of who it is for', async () => {
    const { fake, ana, own, client } = await startOpen();
    const { id } = await fake.writeOnPhone({ phone: own, to: ana }, 'desde el celular');
    const message: WAMessage = await client.message(id);
    expect(message.message?.conversation).toBe('desde el celular');
    expect(message.key).toMatchObject({
      fromMe: true,
      remoteJid: ana.lidJid,
      remoteJidAlt: ana.phoneJid,
    });
  });
});
