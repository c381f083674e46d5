import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import * as contents from '../../fakes/whatsapp/contents.ts';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/eventually.ts';
import { openInboundWorld, type InboundWorld } from './whatsapp-inbound-world.ts';
import { openLive } from './whatsapp-live.ts';

let world: InboundWorld;

beforeAll(async () => {
  world = await openInboundWorld();
});

describe('from phones to the rows', () => {
  it('edits and revocations', async () => {
    const { device, fake, own, ana, connect } = await openLive(world);
    await connect();
    const write = (content: Parameters<typeof fake.write>[1], id: string) =>
      fake.write({ from: ana, to: own }, content, { id });
    const target = (id: string) => ({ id, isOwn: true, chat: own.lidJid });
    await write('Wrong', 'A');
    await write('Too much', 'B');
    await write(contents.edit(target('A'), 'Right'), 'E');
    await write(contents.revoke(target('B')), 'X');
    const is = (id: string, column: string) =>
      eventually(async () => (await device.message(id))[column] === 't', {
        says: `${id} ${column}`,
      });
    await is('B', 'is_revoked');
    await is('A', 'is_edited');
    expect(await device.message('A')).toMatchObject({ body: 'Right' });
  });

  it('a poll and its votes, by whichever address', async () => {
    const { device, fake, own, ana, connect } = await openLive(world);
    await connect();
    const secret = randomBytes(32);
    const write = (content: Parameters<typeof fake.write>[1], id: string) =>
      fake.write({ from: ana, to: own }, content, { id });
    await write(contents.poll('When?', ['Now', 'Never'], { secret }), 'POLL');
    const vote = (voter: string, options: string[]) =>
      contents.pollVote({
        poll: { id: 'POLL', isOwn: true, chat: own.lidJid },
        secret,
        options,
        creator: ana.lidJid,
        voter,
      });
    const votes = async () =>
      (
        await device.all(sql`
          select options, voter_jid from public.poll_votes where account_id = ${device.accountId}`)
      ).map((row) => `${row['voter_jid']} ${row['options']}`);
    await write(vote(ana.lidJid, ['Now']), 'V1');
    await eventually(async () => (await votes()).join() === `${ana.phoneJid} {Now}`, {
      says: 'she votes',
    });
    await write(vote(ana.phoneJid, ['Never']), 'V2');
    await eventually(async () => (await votes()).join() === `${ana.phoneJid} {Never}`, {
      says: 'she votes anew',
    });
  });

  it('a call that nobody took', async () => {
    const { device, fake, own, ana, connect } = await openLive(world);
    await connect();
    const id = fake.call({ from: ana, to: own }, { ends: 'missed' });
    expect(await device.message(id)).toMatchObject({
      message_type: 'system',
      body: 'Missed voice call',
    });
  });

  it('what could not be read, when it comes again', async () => {
    const { device, fake, own, ana, linked, connect } = await openLive(world);
    const { socket, session } = await connect();
    await fake.write({ from: ana, to: own }, 'First', { id: 'A' });
    await device.message('A');
    // She has heard of us: from now on she needs no key of ours to begin with.
    await socket.sendMessage(ana.lidJid, { text: 'Hello' });
    await eventually(() => ana.received().length > 0, { says: 'she has it' });
    await socket.end(undefined);
    await session.close();
    // Signal forgets her: what she writes next is for a session that is gone.
    await device.all(sql`
      delete from private.whatsapp_keys where device_id = ${device.deviceId} and type = 'session'`);
    await connect();
    await fake.write({ from: ana, to: own }, 'Second', { id: 'B' });
    await eventually(async () => (await device.message('B'))['body'] === 'Second', {
      says: 'it came again',
    });
    expect(linked.receipts()).toContainEqual(expect.objectContaining({ id: 'B', type: 'retry' }));
    // Whichever of the two was written first: there is one row, and it can be read.
    await device.settled();
    expect(await device.messages()).toMatchObject([
      { body: 'First' },
      { body: 'Second', message_type: 'text' },
    ]);
  });

  it('groups, when the device reads them', async () => {
    const { device, fake, own, ana, connect } = await openLive(world);
    await connect();
    const group = fake.makeGroup({ subject: 'Salsa', members: [own, ana] });
    await fake.writeInGroup({ from: ana, group }, 'Not for us', { id: 'G1' });
    await fake.write({ from: ana, to: own }, 'For us', { id: 'M' });
    await device.message('M');
    await device.settled();
    expect(await device.messages()).toHaveLength(1);
    await device.all(
      sql`update public.devices set receive_groups = true where id = ${device.deviceId}`,
    );
    await fake.writeInGroup({ from: ana, group }, 'To all', { id: 'G2' });
    expect(await device.message('G2')).toMatchObject({ body: 'To all', from_name: 'Ana' });
    await eventually(async () => (await device.chats()).some((chat) => chat['name'] === 'Salsa'), {
      says: 'the group has its subject',
    });
  });

  it('receipts that overtake what the phone wrote', async () => {
    const { device, fake, own, ana, linked, connect } = await openLive(world);
    await connect();
    fake.receipt(linked, { person: ana, id: 'EARLY', type: 'read' });
    await eventually(async () => {
      const rows = await device.all(sql`
        select message_id from private.whatsapp_parked_receipts where device_id = ${device.deviceId}`);
      return rows.length === 1;
    });
    await fake.writeOnPhone({ phone: own, to: ana }, 'Mine', { id: 'EARLY' });
    await eventually(async () => (await device.message('EARLY'))['status'] === 'read', {
      says: 'it is read',
    });
  });

  it('what our phone has read', async () => {
    const { device, fake, own, ana, connect } = await openLive(world);
    await connect();
    for (const id of ['A', 'B']) await fake.write({ from: ana, to: own }, 'Unread', { id });
    await device.message('B');
    await device.settled();
    expect(await device.chats()).toMatchObject([{ unread_count: '2' }]);
    fake.readOnPhone({ phone: own, of: ana }, ['A', 'B']);
    await eventually(async () => (await device.chats())[0]?.['unread_count'] === '0', {
      says: 'it is read',
    });
  });

  it('history as a phone sends it', async () => {
    const { device, fake, ana, linked, connect } = await openLive(world);
    await connect();
    const atSeconds = Math.floor(Date.now() / 1_000) - 86_400;
    await fake.sendHistory(linked, {
      conversations: [
        {
          with: ana,
          name: 'Ana de la agenda',
          unread: 1,
          messages: [
            { id: 'H1', content: { conversation: 'Past' }, atSeconds },
            { id: 'H2', isOwn: true, content: { conversation: 'Ours' }, atSeconds: atSeconds + 1 },
          ],
        },
      ],
    });
    await device.message('H2');
    await device.settled();
    expect((await device.messages()).map((row) => [row['message_id'], row['is_from_me']])).toEqual([
      ['H1', 'f'],
      ['H2', 't'],
    ]);
    expect(await device.chats()).toMatchObject([
      { name: 'Ana de la agenda', unread_count: '0', lid: ana.lidJid },
    ]);
  });
});
