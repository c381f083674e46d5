import { proto } from '@whiskeysockets/baileys';
import { beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { downloadPlace } from '../../server/commands/queue-download.ts';
import { eventually } from '../support/eventually.ts';
import { openInboundWorld, type InboundWorld } from './whatsapp-inbound-world.ts';
import { ANA, attrsOf, GROUP, T } from './whatsapp/stanzas.ts';

let world: InboundWorld;

beforeAll(async () => {
  world = await openInboundWorld();
});

const { Type } = proto.Message.ProtocolMessage;
const key = (id: string) => ({ id, remoteJid: ANA.lid, fromMe: false });
const FILE = {
  mediaKey: new Uint8Array(32).fill(1),
  directPath: '/v/t1',
  fileLength: 99,
  mimetype: 'image/png',
};

describe('what was decrypted', () => {
  it('becomes messages in its order: texts, a reply, a reaction, an edit, a revocation', async () => {
    const device = await world.device();
    await device.decrypted(attrsOf('A'), { conversation: 'Hello' });
    const contextInfo = { stanzaId: 'A', quotedMessage: { conversation: 'Hello' } };
    await device.decrypted(attrsOf('B'), { extendedTextMessage: { text: 'Again', contextInfo } });
    await device.decrypted(attrsOf('C'), { conversation: 'Wrong' });
    await device.decrypted(attrsOf('R'), { reactionMessage: { key: key('A'), text: '👍' } });
    await device.decrypted(attrsOf('E'), {
      protocolMessage: {
        type: Type.MESSAGE_EDIT,
        key: key('B'),
        editedMessage: { conversation: 'Anew' },
      },
    });
    await device.decrypted(attrsOf('X'), { protocolMessage: { type: Type.REVOKE, key: key('C') } });
    await device.settled();
    expect(await device.messages()).toMatchObject([
      { message_id: 'A', body: 'Hello', from_jid: ANA.jid, from_name: 'Ana', status: 'received' },
      { message_id: 'B', body: 'Anew', quoted_message_id: 'A', is_edited: 't' },
      { message_id: 'C', body: null, is_revoked: 't' },
    ]);
    const reactions = await device.all(sql`
      select emoji, sender_jid from public.message_reactions where account_id = ${device.accountId}`);
    expect(reactions).toEqual([{ emoji: '👍', sender_jid: ANA.jid }]);
    expect(await device.chats()).toMatchObject([{ jid: ANA.jid, lid: ANA.lid, push_name: 'Ana' }]);
    const leads = await device.all(sql`
      select id from public.leads
      where account_id = ${device.accountId} and source = 'whatsapp'
        and contact_id = (select contact_id from public.chats where account_id = ${device.accountId})`);
    expect(leads).toHaveLength(1);
  });

  it('has, with a file, the row by which it is fetched, sealed', async () => {
    const device = await world.device();
    const imageMessage = { ...FILE, caption: 'Look' };
    await device.decrypted(attrsOf('P'), { viewOnceMessageV2: { message: { imageMessage } } });
    const message = await device.message('P');
    expect(message).toMatchObject({ message_type: 'image', body: 'Look' });
    const [download] = await device.all(sql`
      select device_id, encode(message, 'hex') as message
      from private.whatsapp_downloads where media_id = ${message['media_id']}`);
    const bytes = Buffer.from(download?.['message'] ?? '', 'hex');
    const info = proto.WebMessageInfo.decode(
      device.context.box.openBytes(bytes, downloadPlace(Number(message['media_id']))),
    );
    expect(info).toMatchObject({
      key: { id: 'P', remoteJid: ANA.lid },
      message: { imageMessage: { directPath: '/v/t1' } },
    });
    expect(download?.['device_id']).toBe(String(device.deviceId));
  });

  it('is written once, whichever way and however often it comes', async () => {
    const device = await world.device();
    for (let time = 0; time < 3; time += 1)
      await device.decrypted(attrsOf('A'), { conversation: 'Once' });
    await device.decrypted({ id: 'A', from: ANA.jid, t: String(T) }, { conversation: 'Once' });
    await device.settled();
    expect(await device.messages()).toHaveLength(1);
    expect(await device.chats()).toMatchObject([{ unread_count: '1' }]);
  });

  it('is found by whoever works for the device next', async () => {
    const device = await world.device();
    await device.stop();
    await device.decrypted(attrsOf('A'), { conversation: 'Left behind' });
    await device.restart();
    expect(await device.message('A')).toMatchObject({ body: 'Left behind' });
    await device.settled();
  });

  it('is ours when we wrote it on the phone: unread by nobody, and no lead', async () => {
    const device = await world.device();
    const [leads] = await device.all(
      sql`select count(*) as n from public.leads where account_id = ${device.accountId}`,
    );
    const attrs = {
      id: 'O',
      from: '51900000001:0@s.whatsapp.net',
      recipient: ANA.lid,
      peer_recipient_pn: ANA.jid,
      t: String(T),
    };
    const message = { conversation: 'From the phone' };
    await device.decrypted(attrs, { deviceSentMessage: { destinationJid: ANA.lid, message } });
    expect(await device.message('O')).toMatchObject({
      is_from_me: 't',
      status: 'sent',
      from_jid: null,
    });
    expect(await device.chats()).toMatchObject([{ jid: ANA.jid, lid: ANA.lid, unread_count: '0' }]);
    expect(
      await device.all(
        sql`select count(*) as n from public.leads where account_id = ${device.accountId}`,
      ),
    ).toEqual([leads]);
  });

  it('keeps its place when it cannot be read, and fills it when it comes again', async () => {
    const device = await world.device();
    await device.decrypted(attrsOf('A'), Uint8Array.of(255, 255, 1));
    const place = await device.message('A');
    expect(place).toMatchObject({ message_type: 'unknown', body: null });
    const kept = await device.all(sql`
      select purpose from private.whatsapp_messages where device_id = ${device.deviceId} and message_id = 'A'`);
    expect(kept).toEqual([{ purpose: 'unknown' }]);
    await device.decrypted(attrsOf('A'), { conversation: 'Now' });
    await device.settled();
    expect(await device.messages()).toMatchObject([
      { id: place['id'], message_type: 'text', body: 'Now' },
    ]);
  });

  it('is in groups when the device reads them, and is nothing when it does not', async () => {
    const device = await world.device();
    const attrs = (id: string) => ({
      id,
      from: GROUP,
      participant: ANA.lid,
      participant_pn: ANA.jid,
      addressing_mode: 'lid',
      t: String(T),
      notify: 'Ana',
    });
    await device.decrypted(attrs('G1'), { conversation: 'Not for us' });
    await device.settled();
    expect(await device.messages()).toEqual([]);
    await device.all(
      sql`update public.devices set receive_groups = true where id = ${device.deviceId}`,
    );
    const heard = device.socket();
    heard.open();
    const isCalled = (name: string) =>
      eventually(async () => (await device.chats())[0]?.['name'] === name, {
        says: `it is called ${name}`,
      });
    await device.decrypted(attrs('G2'), { conversation: 'For us' });
    expect(await device.message('G2')).toMatchObject({ from_jid: ANA.lid, from_name: 'Ana' });
    await isCalled('The group');
    heard.ev.emit('groups.update', [{ id: GROUP, subject: 'Renamed' }]);
    await isCalled('Renamed');
  });

  it('is nothing while the device is not to receive', async () => {
    const device = await world.device();
    await device.all(
      sql`update public.devices set receive_messages = false where id = ${device.deviceId}`,
    );
    await device.decrypted(attrsOf('A'), { conversation: 'Nobody reads this' });
    await device.settled();
    expect(await device.messages()).toEqual([]);
    expect(await device.chats()).toEqual([]);
  });

  it('is what the phone found again of what could not be read', async () => {
    const device = await world.device();
    await device.decrypted(attrsOf('A'), new Uint8Array());
    await device.message('A');
    const webMessageInfoBytes = proto.WebMessageInfo.encode({
      key: { remoteJid: ANA.lid, fromMe: false, id: 'A' },
      message: { conversation: 'Found' },
      messageTimestamp: T,
    }).finish();
    const peerDataOperationRequestResponseMessage = {
      peerDataOperationResult: [{ placeholderMessageResendResponse: { webMessageInfoBytes } }],
    };
    const type = Type.PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE;
    const peer = {
      id: 'PEER',
      from: '51900000001:0@s.whatsapp.net',
      category: 'peer',
      t: String(T),
    };
    await device.decrypted(peer, {
      protocolMessage: { type, peerDataOperationRequestResponseMessage },
    });
    await device.settled();
    expect(await device.messages()).toMatchObject([{ message_id: 'A', body: 'Found' }]);
  });
});

describe('two addresses of one person', () => {
  it('are one chat as soon as anybody says that they are', async () => {
    const device = await world.device();
    await device.decrypted({ id: 'L', from: ANA.lid, t: String(T) }, { conversation: 'By LID' });
    await device.decrypted(
      { id: 'N', from: ANA.jid, t: String(T + 1) },
      { conversation: 'By number' },
    );
    await device.settled();
    expect(await device.chats()).toHaveLength(2);
    device.socket().ev.emit('lid-mapping.update', { lid: ANA.lid, pn: ANA.jid });
    await eventually(async () => (await device.chats()).length === 1, {
      says: 'the chats are one',
    });
    expect((await device.messages()).map((row) => row['body'])).toEqual(['By LID', 'By number']);
    expect(await device.chats()).toMatchObject([{ jid: ANA.jid, lid: ANA.lid, unread_count: '2' }]);
  });

  it('are one when our phone says so of all it knows', async () => {
    const device = await world.device();
    await device.decrypted({ id: 'L', from: ANA.lid, t: String(T) }, { conversation: 'By LID' });
    await device.decrypted({ id: 'N', from: ANA.jid, t: String(T) }, { conversation: 'By number' });
    const encodedMappingPayload = proto.LIDMigrationMappingSyncPayload.encode({
      pnToLidMappings: [{ pn: 51_987_654_321, assignedLid: 99_887_766_554_433 }],
    }).finish();
    const type = Type.LID_MIGRATION_MAPPING_SYNC;
    const lidMigrationMappingSyncMessage = { encodedMappingPayload };
    const peer = {
      id: 'MIGRATED',
      from: '51900000001:0@s.whatsapp.net',
      category: 'peer',
      t: String(T),
    };
    await device.decrypted(peer, { protocolMessage: { type, lidMigrationMappingSyncMessage } });
    await device.settled();
    expect(await device.chats()).toMatchObject([{ jid: ANA.jid, lid: ANA.lid, unread_count: '2' }]);
  });

  it('are one from the first message on when Signal’s store knows them', async () => {
    const device = await world.device();
    const heard = device.socket();
    heard.mappings.set('51987654321', '99887766554433');
    heard.open();
    await device.decrypted({ id: 'L', from: ANA.lid, t: String(T) }, { conversation: 'By LID' });
    await device.decrypted({ id: 'N', from: ANA.jid, t: String(T) }, { conversation: 'By number' });
    await device.settled();
    expect(await device.chats()).toMatchObject([{ jid: ANA.jid, lid: ANA.lid }]);
  });
});

describe('what never passes decryption', () => {
  it('has its place: what could not be read, and what is for the phone only', async () => {
    const device = await world.device();
    const { ws, ev } = device.socket();
    const node = (id: string, content: unknown[]) => ({
      tag: 'message',
      attrs: attrsOf(id),
      content,
    });
    ws.emit('CB:message', node('U', [{ tag: 'enc', attrs: {}, content: Buffer.of(1) }]));
    ws.emit('CB:message', node('V', [{ tag: 'unavailable', attrs: { type: 'view_once' } }]));
    const messageStubType = proto.WebMessageInfo.StubType.CIPHERTEXT;
    const stub = { key: { id: 'U', remoteJid: ANA.lid }, messageStubType };
    ev.emit('messages.upsert', {
      type: 'notify',
      messages: [stub, { key: { id: 'V', isViewOnce: true } }],
    });
    expect(await device.message('U')).toMatchObject({ message_type: 'unknown', from_jid: ANA.jid });
    expect(await device.message('V')).toMatchObject({ message_type: 'unknown' });
    await device.decrypted(attrsOf('U'), { conversation: 'Now' });
    await device.settled();
    expect(await device.message('U')).toMatchObject({ message_type: 'text', body: 'Now' });
  });

  it('is said in the clear, or is a call that nobody took', async () => {
    const device = await world.device();
    const { ws, ev } = device.socket();
    const clear = Buffer.from(proto.Message.encode({ conversation: 'In the clear' }).finish());
    const content = [{ tag: 'plaintext', attrs: {}, content: clear }];
    ws.emit('CB:message', { tag: 'message', attrs: attrsOf('C'), content });
    const call = {
      key: { id: 'CALL', remoteJid: ANA.jid, fromMe: false },
      messageTimestamp: T,
      messageStubType: proto.WebMessageInfo.StubType.CALL_MISSED_VOICE,
    };
    const decrypted = { key: { id: 'OTHER' }, message: { conversation: 'x' } };
    ev.emit('messages.upsert', { type: 'notify', messages: [call, decrypted] });
    expect(await device.message('C')).toMatchObject({ body: 'In the clear' });
    expect(await device.message('CALL')).toMatchObject({
      message_type: 'system',
      body: 'Missed voice call',
      status: 'read',
    });
    await device.settled();
    expect(await device.messages()).toHaveLength(2);
  });
});
