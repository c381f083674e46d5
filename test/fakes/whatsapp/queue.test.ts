import { describe, expect, it } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { connect, newSession } from './client.ts';
import { startOpen, startStage, type Stage } from './support.ts';

function texts({
  messages,
}: {
  messages: { message?: { conversation?: string | null } | null }[];
}) {
  return messages.map(({ message }) => message?.conversation);
}

async function writeMany({ fake, ana, own }: Stage, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let index = 0; index < count; index += 1) {
    ids.push((await fake.write({ from: ana, to: own }, `m${index}`)).id);
  }
  return ids;
}

describe('what was written while the device was away', () => {
  it('comes with the next login, in order, as late, until it is receipted and not again', async () => {
    const stage = await startStage();
    await writeMany(stage, 3);
    expect(stage.device.queue.waitingCount).toBe(3);
    const client = stage.join();
    await eventually(() => client.messages.length === 3);
    expect(texts(client)).toEqual(['m0', 'm1', 'm2']);
    expect(client.kinds).toEqual(['append', 'append', 'append']);
    await eventually(() => stage.device.queue.waitingCount === 0);
    client.end();
    await client.closed();

    const again = stage.join();
    await again.isOpen();
    await eventually(() => again.updates.some((update) => update.receivedPendingNotifications));
    expect(again.messages).toEqual([]);
    expect(stage.device.queue.list().map(({ timesSent }) => timesSent)).toEqual([1, 1, 1]);
  });

  it('comes again when the device went before it had receipted it', async () => {
    const stage = await startStage();
    const [id] = await writeMany(stage, 1);
    // Receives everything, and says nothing: its words are lost on the way.
    stage.fake.world.faults.add({ times: 1, does: { kind: 'silence', when: 'open' } });
    const deaf = stage.join();
    await eventually(() => stage.fake.world.faults.list().length === 0);
    deaf.end();
    await deaf.closed();
    const client = stage.join();
    expect((await client.message(id!)).message?.conversation).toBe('m0');
  });

  it('is receipted and never told to anybody without the marker: what C.4 is about', async () => {
    const stage = await startStage();
    const ids = await writeMany(stage, 3);
    stage.fake.world.faults.add({ times: 1, does: { kind: 'withhold-offline' } });
    const first = stage.join();
    await eventually(() => stage.device.queue.waitingCount === 0);
    expect(stage.device.receipts().map(({ id }) => id)).toEqual(ids);
    stage.fake.breakOff(stage.device, { kind: 'reset' });
    await first.closed();
    expect(first.messages).toEqual([]);
    const second = stage.join();
    await second.isOpen();
    await eventually(() => second.updates.some((update) => update.receivedPendingNotifications));
    expect(second.messages).toEqual([]);
  });

  it('comes in another order, or twice', async () => {
    const backwards = await startStage();
    await writeMany(backwards, 3);
    backwards.fake.world.faults.add({ times: 1, does: { kind: 'reorder' } });
    const first = backwards.join();
    await eventually(() => first.messages.length === 3);
    expect(texts(first)).toEqual(['m2', 'm1', 'm0']);

    const doubled = await startStage();
    const ids = await writeMany(doubled, 2);
    doubled.fake.world.faults.add({ does: { kind: 'duplicate' } });
    const second = doubled.join();
    await eventually(() => second.messages.length >= 2);
    await eventually(() => doubled.device.queue.waitingCount === 0);
    const stanzas = doubled.device.queue.list();
    expect(stanzas.map(({ id, timesSent }) => [id, timesSent])).toEqual(ids.map((id) => [id, 2]));
  });
});

describe('what a device cannot read', () => {
  it('is asked for, written anew with the same id, and read', async () => {
    const stage = await startStage();
    const first = stage.join();
    await first.isOpen();
    // Both have written: from now on a session that was lost cannot be begun by the next message alone.
    await first.socket.sendMessage(stage.ana.phoneJid, { text: 'hola' });
    await eventually(() => stage.ana.received().length === 1);
    first.end();
    await first.closed();
    const forgetful = newSession(stage.session.creds);
    const client = connect(stage.fake.url, forgetful);
    await client.isOpen();
    const { id } = await stage.fake.write({ from: stage.ana, to: stage.own }, 'anew');
    await eventually(() => client.messages.some(({ message }) => message?.conversation === 'anew'));
    await eventually(() => stage.device.queue.waitingCount === 0);
    const stanza = stage.device.queue.list().find((each) => each.id === id);
    expect(stanza).toMatchObject({ timesSent: 2, retries: 1, settled: { by: 'receipt' } });
    expect(stage.fake.world.errors()).toEqual([]);
  });
});

describe('a message that is spoilt', () => {
  it('on the way is asked for, and read in the end', async () => {
    const { fake, ana, own, client, device } = await startOpen();
    const who = { from: ana, to: own };
    const { id } = await fake.write(who, 'dañado', { spoil: 'damaged' });
    await eventually(() =>
      client.messages.some(({ message }) => message?.conversation === 'dañado'),
    );
    await eventually(() => device.queue.waitingCount === 0);
    expect(device.queue.list()).toMatchObject([{ id, retries: 1, timesSent: 2 }]);
  });

  it('because nothing is in it is acknowledged, and sent by the phone when it is there', async () => {
    const { fake, ana, own, client, device } = await startOpen({ phoneResends: true });
    const { id } = await fake.write({ from: ana, to: own }, 'en el celular', { spoil: 'absent' });
    await eventually(() =>
      client.messages.some(
        ({ key, message }) => key.id === id && message?.conversation === 'en el celular',
      ),
    );
    const stanza = device.queue.list().find((each) => each.id === id);
    expect(stanza).toMatchObject({ timesSent: 1, settled: { by: 'ack' } });
  });
});

describe('the one-time keys of a device', () => {
  it('are uploaded when there are few, and used up one for each session', async () => {
    const stage = await startOpen({ preKeysTold: 3 });
    await eventually(() => stage.device.preKeys.left > 0);
    const { left } = stage.device.preKeys;
    const { id } = await stage.fake.write({ from: stage.ana, to: stage.own }, 'with a key');
    expect((await stage.client.message(id)).message?.conversation).toBe('with a key');
    await stage.fake.write({ from: stage.ana, to: stage.own }, 'same session');
    expect(stage.device.preKeys).toEqual({ left: left - 1, used: 1 });
  });
});
