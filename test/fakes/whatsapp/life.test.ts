import { describe, expect, it, onTestFinished } from 'vitest';
import { startLife } from '../../../fakes/whatsapp/life.ts';
import { readWishes } from '../../../fakes/whatsapp/main.ts';
import { PICTURE } from '../../../fakes/whatsapp/picture.ts';
import { eventually } from '../../support/eventually.ts';
import { startOpen, startStage } from './support.ts';

describe('people who live by themselves', () => {
  it('write to a device that is there, no more than so much in a day, and answer it', async () => {
    const { fake, ana, own, join } = await startStage();
    let now = 0;
    const pace = {
      everyMs: { min: 1, more: 2 },
      answersAfterMs: 12,
      messagesADay: 12,
      now: () => now,
    };
    const life = startLife(fake.world, fake, { own, people: [ana], seed: 1, pace });
    onTestFinished(() => life.stop());
    await eventually(() => life.counts.turns > 20);
    expect(life.counts.written).toBe(0);

    const client = join();
    await client.isOpen();
    await eventually(() => client.messages.length === 12);
    const { turns } = life.counts;
    await eventually(() => life.counts.turns > turns + 20);
    expect(life.counts.written).toBe(12);

    now = 86_400_001;
    await eventually(() => life.counts.written === 24);
    await eventually(() => client.messages.length === 24);
    expect(client.messages.some(({ message }) => message?.imageMessage)).toBe(true);
    expect(fake.world.errors()).toEqual([]);
  });

  it('answer most of what they get, having read it', async () => {
    const { fake, ana, own, client, device } = await startOpen();
    const pace = { everyMs: { min: 3_600_000, more: 0 }, answersAfterMs: 12 };
    const life = startLife(fake.world, fake, { own, people: [ana], seed: 1, pace });
    onTestFinished(() => life.stop());
    for (let index = 0; index < 10; index += 1) {
      await client.socket.sendMessage(ana.phoneJid, { text: `pregunta ${index}` });
    }
    await eventually(() => ana.received().length === 10);
    await eventually(() => life.counts.written >= 4);
    await eventually(() => device.queue.list().some(({ type }) => type === 'read'));
    life.stop();
    expect(life.counts.written).toBeLessThanOrEqual(10);
  });
});

describe('what is wished of the program', () => {
  it('has defaults, and is refused when it is none', () => {
    expect(readWishes([])).toEqual({
      port: 4791,
      filesPort: 0,
      phone: '51999000001',
      seed: 1,
      isAlive: false,
    });
    expect(readWishes(['--port', '0', '--life', '--phone', '5215551234567'])).toMatchObject({
      port: 0,
      isAlive: true,
      phone: '5215551234567',
    });
    expect(() => readWishes(['--port', 'x'])).toThrow('--port is a number');
    expect(() => readWishes(['--phone', '+51'])).toThrow('--phone is digits');
    expect(() => readWishes(['--what'])).toThrow('--what');
  });
});

describe('the picture that they send', () => {
  it('is a PNG with its size', () => {
    expect(PICTURE.subarray(1, 4).toString()).toBe('PNG');
    expect([PICTURE.readUInt32BE(16), PICTURE.readUInt32BE(20)]).toEqual([64, 64]);
  });
});
