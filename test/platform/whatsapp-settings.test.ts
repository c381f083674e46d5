import { describe, expect, it } from 'vitest';
import { readConfig, type Environment } from '../../platform/config.ts';

const read = (whatsapp: Environment) =>
  readConfig(
    { DATABASE_URL: 'postgres://127.0.0.1/x', ...whatsapp },
    { redis: false, secret: false, media: false, encryption: false },
  ).whatsapp;

describe('the settings of WhatsApp', () => {
  it('are its own address, twenty new chats a day and a second between messages, unless they say otherwise', () => {
    expect(read({})).toEqual({
      url: 'wss://web.whatsapp.com/ws/chat',
      newChatsPerDay: 20,
      sendIntervalMs: 1_000,
    });
    const given = {
      WHATSAPP_URL: 'ws://127.0.0.1:4000/ws',
      WHATSAPP_NEW_CHATS_PER_DAY: '0',
      WHATSAPP_SEND_INTERVAL_MS: '0',
      MEDIA_ACCOUNT_BYTES_MAX: '5000000000',
    };
    expect(read(given)).toEqual({
      url: 'ws://127.0.0.1:4000/ws',
      newChatsPerDay: 0,
      sendIntervalMs: 0,
      accountBytesMax: 5_000_000_000,
    });
  });

  it.each([
    'ws://web.whatsapp.com/ws/chat',
    'ws://10.0.0.1/ws',
    'ws://127.0.0.1.example/ws',
    'https://web.whatsapp.com/ws/chat',
    'web.whatsapp.com',
  ])('take no address like %s', (WHATSAPP_URL) => {
    expect(() => read({ WHATSAPP_URL })).toThrow(/^WHATSAPP_URL must /);
  });

  it('take plain WebSocket on a loopback address', () => {
    for (const host of ['127.0.0.1', '127.9.9.9:81', 'localhost:4000', '[::1]:4000'])
      expect(read({ WHATSAPP_URL: `ws://${host}/ws` }).url).toContain(host);
  });

  it.each(['WHATSAPP_NEW_CHATS_PER_DAY', 'WHATSAPP_SEND_INTERVAL_MS'])(
    '%s is a whole number that is not negative',
    (name) => {
      for (const value of ['-1', '1.5', 'x'])
        expect(() => read({ [name]: value })).toThrow(new RegExp(`^${name} `));
    },
  );
});
