import { initAuthCreds } from '@whiskeysockets/baileys';
import { describe, expect, it } from 'vitest';
import { parseWhatsappNote } from '../../../platform/whatsapp-notes.ts';
import {
  chooseGoal,
  isStillAsked,
  isStillConnected,
} from '../../../server/ingest/whatsapp/choose-goal.ts';
import type { DeviceView } from '../../../server/ingest/whatsapp/connections.ts';
import { isOfBaileys } from '../../../server/ingest/whatsapp/is-of-baileys.ts';
import { isIgnored } from '../../../server/ingest/whatsapp/open-socket.ts';
import {
  forgetUnlinked,
  isLinked,
  judgeNumber,
  numberOf,
} from '../../../server/ingest/whatsapp/pairing.ts';

const PAIRING = { id: 1, kind: 'qr', phone: undefined, isExpired: false };
const VIEW: DeviceView = {
  accountId: 1,
  deviceId: 1,
  isActive: true,
  wanted: 'connected',
  status: 'disconnected',
  code: undefined,
  pairing: undefined,
  hasSession: true,
  receivesGroups: false,
};

/** `connect`, `logout`, `rest`, or what is said while resting. */
function goalOf(view: Partial<DeviceView>): string {
  const goal = chooseGoal({ ...VIEW, ...view });
  if (goal.kind === 'connect') return goal.pairing ? 'connect or pair' : 'connect';
  if (goal.kind === 'logout' || !goal.state) return goal.kind;
  return [goal.state.status, goal.state.code].filter(Boolean).join(' ');
}

describe('what there is to do for a device', () => {
  it.each<[Partial<DeviceView>, string]>([
    [{}, 'connect'],
    [{ status: 'connected' }, 'connect'],
    [{ pairing: PAIRING }, 'connect or pair'],
    [{ hasSession: false, pairing: PAIRING }, 'connect or pair'],
    [{ hasSession: false }, 'disconnected not_paired'],
    [{ hasSession: false, pairing: { ...PAIRING, isExpired: true } }, 'disconnected not_paired'],
    [{ code: 'conflict' }, 'rest'],
    [{ code: 'banned', status: 'banned' }, 'rest'],
    [{ isActive: false }, 'disconnected account_inactive'],
    [{ isActive: false, status: 'connected' }, 'disconnected account_inactive'],
    [{ wanted: 'disconnected' }, 'rest'],
    [{ wanted: 'disconnected', status: 'connecting' }, 'disconnected'],
    [{ wanted: 'disconnected', status: 'pairing' }, 'disconnected'],
    [{ wanted: 'disconnected', status: 'connected' }, 'disconnected'],
    [{ wanted: 'disconnected', status: 'logged_out' }, 'rest'],
    [{ wanted: 'disconnected', status: 'banned' }, 'rest'],
    [{ wanted: 'logged_out' }, 'logout'],
    [{ wanted: 'logged_out', isActive: false }, 'logout'],
    [{ wanted: 'logged_out', code: 'bad_session' }, 'logout'],
    [{ wanted: 'logged_out', hasSession: false }, 'logged_out'],
    [{ wanted: 'logged_out', status: 'logged_out' }, 'rest'],
  ])('%j', (view, expected) => {
    expect(goalOf(view)).toBe(expected);
  });

  it('goes on only while it is what people want', () => {
    expect(isStillConnected(VIEW)).toBe(true);
    for (const other of [{ wanted: 'disconnected' }, { isActive: false }, { code: 'conflict' }])
      expect(isStillConnected({ ...VIEW, ...other })).toBe(false);
    expect(isStillAsked(PAIRING, { ...VIEW, pairing: PAIRING })).toBe(true);
    // Its time is over when WhatsApp says so.
    expect(isStillAsked(PAIRING, { ...VIEW, pairing: { ...PAIRING, isExpired: true } })).toBe(true);
    for (const pairing of [
      undefined,
      { ...PAIRING, id: 2 },
      { ...PAIRING, kind: 'code', phone: '51' },
    ])
      expect(isStillAsked(PAIRING, { ...VIEW, pairing })).toBe(false);
  });
});

describe('a number that was linked', () => {
  it.each<[own: string | undefined, others: string[], code: string | undefined]>([
    [undefined, [], undefined],
    ['a@s.whatsapp.net', [], undefined],
    ['b@s.whatsapp.net', [], 'other_number'],
    [undefined, ['a@s.whatsapp.net'], 'number_taken'],
    ['b@s.whatsapp.net', ['a@s.whatsapp.net'], 'number_taken'],
    [undefined, ['b@s.whatsapp.net'], undefined],
  ])('with chats of %s, others %j: %s', (own, others, code) => {
    expect(judgeNumber('a@s.whatsapp.net', { own, others })).toBe(code);
  });

  it('stands without the number of its device', () => {
    const me = { id: '51987654321:17@s.whatsapp.net' };
    expect(numberOf({ me })).toEqual({ jid: '51987654321@s.whatsapp.net', phone: '51987654321' });
  });

  it('is forgotten while it was only asked for by a code, and not once it is linked', () => {
    const creds = { ...initAuthCreds(), me: { id: '51@s.whatsapp.net' }, pairingCode: 'ABCDEFGH' };
    expect(isLinked(creds)).toBe(false);
    forgetUnlinked(creds);
    expect([creds.me, creds.pairingCode]).toEqual([undefined, undefined]);
    const linked = { ...initAuthCreds(), me: { id: '51@s.whatsapp.net' }, account: {} };
    forgetUnlinked(linked);
    expect(isLinked(linked)).toBe(true);
  });
});

describe('what is not read at all', () => {
  it.each<[string, boolean, boolean]>([
    ['status@broadcast', true, true],
    ['120363000@newsletter', true, true],
    ['867051314767696@bot', true, true],
    ['13135550002@c.us', true, true],
    ['120363111@g.us', true, false],
    ['51987654321@s.whatsapp.net', false, false],
    ['99887766@lid', false, false],
  ])('%s: %s without groups, %s with', (jid, without, withGroups) => {
    expect([isIgnored(jid, false), isIgnored(jid, true)]).toEqual([without, withGroups]);
  });
});

describe('a fault that nobody handled', () => {
  it("is forgiven when it is Baileys' or libsignal's, or what our store stopped them with", () => {
    const from = (path: string): Error =>
      Object.assign(new Error('x'), { stack: `Error: x\n    at f (file:///app/${path}:1:1)` });
    expect(isOfBaileys(from('node_modules/@whiskeysockets/baileys/lib/Socket/socket.js'))).toBe(
      true,
    );
    expect(isOfBaileys(from('node_modules/libsignal/src/session_cipher.js'))).toBe(true);
    expect(isOfBaileys(Object.assign(new Error('x'), { name: 'SessionOver' }))).toBe(true);
    expect(isOfBaileys(from('server/ingest/whatsapp/device.ts'))).toBe(false);
    expect(isOfBaileys(from('node_modules/pg/lib/client.js'))).toBe(false);
    expect(isOfBaileys('text')).toBe(false);
  });
});

describe('a note', () => {
  it('is one of ours, or nothing', () => {
    expect(parseWhatsappNote('changed 7')).toEqual({ kind: 'changed', deviceId: 7 });
    expect(parseWhatsappNote('outbox 7')).toEqual({ kind: 'outbox', deviceId: 7 });
    expect(parseWhatsappNote('version')).toEqual({ kind: 'version' });
    for (const odd of ['', 'changed', 'changed 0', 'changed -1', 'changed 7x', 'other 7'])
      expect(parseWhatsappNote(odd)).toBeUndefined();
  });
});
