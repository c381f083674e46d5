import { BufferJSON, type AuthenticationCreds } from '@whiskeysockets/baileys';
import { describe, expect, it } from 'vitest';
import type { FakeWhatsApp } from '../../../fakes/whatsapp/fake-whatsapp.ts';
import { eventually } from '../../support/eventually.ts';
import { connect, newSession } from './client.ts';
import { ANA, OWN, startFake } from './support.ts';

type Json = Record<string, unknown>;

function adminOf(fake: FakeWhatsApp) {
  return async <T = Json>(route: string, body?: unknown): Promise<T & { status?: number }> => {
    const [method = '', path = ''] = route.split(' ');
    const answer = await fetch(`${fake.httpUrl}/__admin/${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (answer.status === 204) return {} as T & { status?: number };
    const json = (await answer.json()) as T & { error?: string };
    return answer.ok ? json : { ...json, status: answer.status };
  };
}

/** Own phone and Ana, and a device of credentials that came over HTTP. */
async function startByAdmin() {
  const fake = await startFake();
  const admin = adminOf(fake);
  await admin('POST people', OWN);
  await admin('POST people', { ...ANA, habits: { readAfterMs: 0 } });
  type Made = { device: string; creds: unknown };
  const [made] = await admin<Made[]>(`POST people/${OWN.phone}/credentials`);
  const creds = JSON.parse(
    JSON.stringify(made?.creds),
    BufferJSON.reviver.bind(BufferJSON),
  ) as AuthenticationCreds;
  const client = connect(fake.url, newSession(creds));
  await client.isOpen();
  const device = made?.device ?? '';
  return { fake, admin, client, device, path: encodeURIComponent(device) };
}

describe('the admin interface of the fake WhatsApp', () => {
  it('links a device that shows its code, and shows who is connected', async () => {
    const fake = await startFake();
    const admin = adminOf(fake);
    await admin('POST people', OWN);
    const session = newSession();
    const client = connect(fake.url, session);
    const linked = await admin(`POST people/${OWN.phone}/scan`, { qr: await client.qr() });
    expect(linked).toMatchObject({ jid: `${OWN.phone}:1@s.whatsapp.net`, isConnected: false });
    expect(await client.closed()).toBe(515);
    await connect(fake.url, session).isOpen();
    expect(await admin('GET connections')).toMatchObject({ open: 1, logins: 1, doubles: 0 });
    expect(await admin<Json[]>('GET devices')).toMatchObject([{ isActive: true, waiting: 0 }]);
  });

  it('writes whatever people write', async () => {
    const { fake, admin, client } = await startByAdmin();
    const write = async (what: Json, more: Json = {}) => {
      const route = 'POST messages';
      const from = ANA.phone;
      const { id } = await admin<{ id: string }>(route, { from, to: OWN.phone, what, ...more });
      return id;
    };
    const text = await write({ text: 'hola' });
    const image = await write({ media: { kind: 'image', bytes: 500, caption: 'mira' } });
    const reply = await write({ reply: { to: text, text: 'digo' } });
    const reaction = await write({ reaction: { id: text, emoji: '👍' } });
    const once = await write({ media: { kind: 'video', base64: 'AAAA' } }, { viewOnce: true });
    const gone = await write({ text: 'se va' }, { ephemeral: true, id: '3EB0GONE' });
    const raw = await write({ raw: { extendedTextMessage: { text: 'como sea' } } });
    const of = async (id: string) => (await client.message(id)).message;
    expect((await of(image))?.imageMessage?.caption).toBe('mira');
    expect((await of(reply))?.extendedTextMessage?.contextInfo?.stanzaId).toBe(text);
    expect((await of(reaction))?.reactionMessage?.key).toMatchObject({ id: text, fromMe: false });
    expect((await of(once))?.viewOnceMessageV2?.message?.videoMessage).toBeTruthy();
    expect(gone).toBe('3EB0GONE');
    expect((await of(gone))?.ephemeralMessage?.message?.conversation).toBe('se va');
    expect((await of(raw))?.extendedTextMessage?.text).toBe('como sea');

    await write({ revoke: { id: text } });
    await admin('POST files/expire', { file: image, status: 404 });
    const { url } = (await of(image))?.imageMessage ?? {};
    expect((await fetch(url ?? '')).status).toBe(404);
    const own = { from: OWN.phone, to: ANA.phone, onPhone: true, what: { text: 'yo' } };
    const { id } = await admin<{ id: string }>('POST messages', own);
    expect((await client.message(id)).key.fromMe).toBe(true);
    expect(fake.world.errors()).toEqual([]);
  });

  it('shows what people got, lets them vote, and what the device said and was sent', async () => {
    const { admin, client, path, device } = await startByAdmin();
    const sent = await client.socket.sendMessage(`${ANA.phone}@s.whatsapp.net`, {
      poll: { name: '¿?', values: ['a', 'b'], selectableCount: 1 },
    });
    const id = sent?.key.id ?? '';
    const received = await eventually(async () => {
      const route = `GET people/${ANA.phone}/received?id=${id}`;
      return (await admin<{ id: string; times: number; from: string }[]>(route))[0];
    });
    expect(received).toMatchObject({ id, times: 1, from: device });
    const vote = { vote: { poll: id, options: ['b'] } };
    const body = { from: ANA.phone, to: OWN.phone, what: vote };
    const voted = await admin<{ id: string }>('POST messages', body);
    expect((await client.message(voted.id)).message?.pollUpdateMessage).toBeTruthy();

    type Stanza = { type: string; settled?: { by: string } };
    await eventually(async () => {
      const receipts = await admin<Stanza[]>(`GET devices/${path}/stanzas?class=receipt&id=${id}`);
      return receipts.map(({ type }) => type).includes('read') && receipts.length === 2;
    });
    await eventually(async () => {
      const said = await admin<{ id: string }[]>(`GET devices/${path}/receipts?id=${voted.id}`);
      return said.length === 1;
    });
    const unsettled = `GET devices/${path}/stanzas?isSettled=false`;
    await eventually(async () => (await admin<Stanza[]>(unsettled)).length === 0);
    const stanzas = await admin<{ tag: string }[]>('GET stanzas?way=in&tag=message');
    expect(stanzas).toHaveLength(1);
  });

  it('brings history, groups, typing, calls, status updates and channels', async () => {
    const { admin, client, path } = await startByAdmin();
    const conversations = [{ with: ANA.phone, generate: 40 }];
    const history = await admin<{ id: string; bytes: number }>(`POST devices/${path}/history`, {
      conversations,
    });
    expect(history.bytes).toBeGreaterThan(100);
    await client.message(history.id);
    const members = [OWN.phone, ANA.phone];
    const { jid } = await admin<{ jid: string }>('POST groups', { subject: 'Padres', members });
    const said = { from: ANA.phone, group: jid, what: { text: 'a todos' } };
    const { id } = await admin<{ id: string }>('POST messages', said);
    expect((await client.message(id)).key.remoteJid).toBe(jid);
    const who = { from: ANA.phone, to: OWN.phone };
    await admin('POST typing', { ...who, state: 'composing' });
    await admin('POST presence', { ...who, isOnline: true });
    const call = await admin<{ id: string }>('POST calls', { ...who, ends: 'missed' });
    await client.message(call.id);
    await admin('POST statuses', { ...who, what: { text: 'estado' } });
    await admin('POST newsletters', { to: OWN.phone, channel: '120363', text: 'canal' });
    await admin(`POST people/${OWN.phone}/read`, { of: ANA.phone, ids: [id] });
  });

  it('cuts off, goes wrong as it is told, goes away and comes back', async () => {
    const { fake, admin, client, path } = await startByAdmin();
    await admin(`POST devices/${path}/break`, { kind: 'stream-error', code: 503 });
    expect(await client.closed()).toBe(503);
    const fault = await admin<{ id: number }>('POST faults', { does: { kind: 'ack-drop' } });
    expect(await admin<Json[]>('GET faults')).toMatchObject([{ id: fault.id, hits: 0 }]);
    await admin(`DELETE faults/${fault.id}`);
    expect(await admin(`DELETE faults/${fault.id}`)).toMatchObject({ status: 409 });
    await admin(`DELETE devices/${path}`);
    expect(await admin(`GET devices/${path}`)).toMatchObject({ isRemoved: true });
    await admin('POST down', { ms: 300 });
    await eventually(async () => {
      const gone = await fetch(fake.httpUrl).catch(() => 'refused');
      return gone === 'refused';
    });
    await eventually(async () => (await admin('GET settings'))['preKeysTold'] === 50);
  });

  it('makes credentials for many devices at once', async () => {
    const fake = await startFake();
    const admin = adminOf(fake);
    type Made = { device: string };
    const made = await admin<Made[]>('POST people/51900000000/credentials', { count: 20 });
    expect(new Set(made.map(({ device }) => device)).size).toBe(20);
    expect(made[19]?.device).toBe('51900000019:1@s.whatsapp.net');
  });

  it('changes people and settings, and refuses what is none', async () => {
    const { admin } = await startByAdmin();
    const changed = { lid: '77777777777777', addressing: 'pn-only', failures: 1, name: 'Anita' };
    expect(await admin(`PATCH people/${ANA.phone}`, changed)).toMatchObject(changed);
    expect(await admin('PATCH settings', { mediaRetry: 'not-found' })).toEqual({
      preKeysTold: 50,
      mediaRetry: 'not-found',
      phoneResends: false,
    });
    expect(await admin('POST people', OWN)).toMatchObject({ status: 409 });
    expect(await admin('POST people', { phone: 'x' })).toMatchObject({ status: 400 });
    expect(await admin('GET nothing')).toMatchObject({ status: 404 });
    const unknown = { from: '51900000099', to: OWN.phone, what: { text: 'x' } };
    expect(await admin('POST messages', unknown)).toMatchObject({ status: 409 });
    const nobody = await admin(`POST people/${OWN.phone}/scan`, { qr: 'https://wa.me/#a,b,c,d,1' });
    expect(nobody).toMatchObject({ status: 409 });
    expect(await admin<{ path: string }>('GET certificate')).toHaveProperty('path');
    expect(await admin<string[]>('GET errors')).toEqual([]);
  });
});
