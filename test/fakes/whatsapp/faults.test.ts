import { describe, expect, it } from 'vitest';
import type { FaultInput } from '../../../fakes/whatsapp/faults.ts';
import { eventually } from '../../support/eventually.ts';
import { startOpen, startStage } from './support.ts';

type Does = FaultInput['does'];

/** As a client sees it: ingest.md C.5. */
const CODES: readonly [Does, number][] = [
  [{ kind: 'failure', reason: 401 }, 401],
  [{ kind: 'failure', reason: 403 }, 403],
  [{ kind: 'failure', reason: 405 }, 405],
  [{ kind: 'failure', reason: 503 }, 503],
  [{ kind: 'failure' }, 500],
  [{ kind: 'stream-error', code: 515 }, 515],
  [{ kind: 'stream-error', code: 503 }, 503],
  [{ kind: 'stream-error', code: 401, conflict: 'device_removed' }, 401],
  [{ kind: 'stream-error', conflict: 'replaced' }, 440],
  [{ kind: 'stream-error' }, 500],
  [{ kind: 'downgrade' }, 411],
  [{ kind: 'xmlstreamend' }, 428],
  [{ kind: 'reset' }, 428],
];

describe('what goes wrong with a connection', () => {
  it.each(CODES)('at the login: %j is %i for a client, and then it is over', async (does, code) => {
    const { fake, join, device } = await startStage();
    fake.world.faults.add({ device: device.jid, times: 1, does });
    expect(await join().closed()).toBe(code);
    expect(fake.world.faults.list()).toEqual([]);
    await join().isOpen();
  });

  it.each(CODES)('with a device that has come: %j is %i', async (does, code) => {
    const { fake, join } = await startStage();
    fake.world.faults.add({ times: 1, does: { ...does, when: 'open' } as Does });
    expect(await join().closed()).toBe(code);
  });

  it('at one that is open since long', async () => {
    const { fake, client, device } = await startOpen();
    fake.breakOff(device, { kind: 'stream-error', code: 503 });
    expect(await client.closed()).toBe(503);
    expect(() => fake.breakOff(device, { kind: 'reset' })).toThrow('connected');
  });

  it('a refused upgrade is no close at all, only an answer that nobody expected', async () => {
    for (const status of [403, 405, 429, 503]) {
      const { fake, join } = await startStage();
      fake.world.faults.add({ times: 1, does: { kind: 'upgrade-status', status } });
      const client = join();
      const seen: (number | undefined)[] = [];
      client.socket.ws.on(
        'unexpected-response',
        (_request: unknown, answer: { statusCode?: number }) => seen.push(answer.statusCode),
      );
      await eventually(() => seen[0] === status);
      expect(client.updates.some(({ connection }) => connection === 'close')).toBe(false);
    }
  });

  it('silence in place of an upgrade or a handshake is a timeout', async () => {
    for (const kind of ['upgrade-silence', 'handshake-silence'] as const) {
      const { fake, join } = await startStage();
      fake.world.faults.add({ times: 1, does: { kind } });
      expect(await join({ connectTimeoutMs: 500 }).closed()).toBe(408);
    }
  });

  it('silence of one that is open is a lost connection', async () => {
    const { fake, join, device } = await startStage();
    const client = join({ keepAliveIntervalMs: 200 });
    await client.isOpen();
    fake.breakOff(device, { kind: 'silence' });
    expect(await client.closed(20_000)).toBe(408);
  });

  it('a device that was removed on the phone is logged out, and stays so', async () => {
    const { fake, client, device, join } = await startOpen();
    fake.removeDevice(device);
    expect(await client.closed()).toBe(401);
    expect(await join().closed()).toBe(401);
  });

  it('a device that logs out is removed', async () => {
    const { client, device, join } = await startOpen();
    await client.socket.logout();
    await eventually(() => device.isRemoved);
    expect(await join().closed()).toBe(401);
  });
});

describe('what goes wrong with what a device sends', () => {
  const acksOf = (client: Awaited<ReturnType<typeof startOpen>>['client']) => {
    const acks: { id: string; error?: string }[] = [];
    client.socket.ws.on('CB:ack,class:message', ({ attrs }: { attrs: { id: string } }) =>
      acks.push(attrs),
    );
    return acks;
  };

  it('an acknowledgement with an error: nobody gets the message', async () => {
    for (const error of [463, 479, 429]) {
      const { fake, client, ana, device } = await startOpen();
      fake.world.faults.add({ device: device.jid, times: 1, does: { kind: 'ack-error', error } });
      const acks = acksOf(client);
      const sent = await client.socket.sendMessage(ana.phoneJid, { text: 'no' });
      await eventually(() => acks.some((ack) => ack.error === String(error)));
      expect(ana.find(sent?.key.id ?? '')).toBeUndefined();
    }
  });

  it('one that never comes, or late: the message arrived all the same', async () => {
    const { fake, client, ana } = await startOpen();
    const acks = acksOf(client);
    fake.world.faults.add({ times: 1, does: { kind: 'ack-drop' } });
    fake.world.faults.add({ times: 1, does: { kind: 'ack-delay', ms: 300 } });
    // The delay is asked for first, whatever the order in which both were added.
    const late = await client.socket.sendMessage(ana.phoneJid, { text: 'late' });
    const lost = await client.socket.sendMessage(ana.phoneJid, { text: 'lost' });
    await eventually(() => ana.find(late?.key.id ?? '') && ana.find(lost?.key.id ?? ''));
    await eventually(() => acks.length === 1);
    expect(acks.map(({ id }) => id)).toEqual([late?.key.id]);
  });

  it('a person that cannot read a message asks for it, and gets it with the same id', async () => {
    const { client, ana, fake, device } = await startOpen();
    ana.failures = 1;
    const sent = await client.socket.sendMessage(ana.phoneJid, { text: 'again' });
    const id = sent?.key.id ?? '';
    const received = await eventually(() => ana.find(id));
    expect(received.message.extendedTextMessage?.text).toBe('again');
    const tries = fake.world.log.list({ way: 'in', tag: 'message', device: device.jid });
    expect(tries.map(({ attrs }) => attrs['id'])).toEqual([id, id]);
  });

  it('the same message sent twice counts, and is one', async () => {
    const { client, ana } = await startOpen();
    const messageId = '3EB0TWICE';
    await client.socket.sendMessage(ana.phoneJid, { text: 'one' }, { messageId });
    await client.socket.sendMessage(ana.phoneJid, { text: 'one' }, { messageId });
    await eventually(() => ana.find(messageId)?.times === 2);
    expect(ana.received()).toHaveLength(1);
  });
});
