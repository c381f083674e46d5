import { describe, expect, it } from 'vitest';
import { CLIENT_FRAMES_BURST, CLOSE } from '../../domain/feed-protocol.ts';
import { Admission } from '../../replicator/feed/admission.ts';
import { isConcerned, whoIsConcerned } from '../../replicator/feed/control-change.ts';
import { Inbox } from '../../replicator/feed/inbox.ts';
import { KNOCK_MS } from '../../replicator/feed/limits.ts';
import { Slots } from '../../replicator/feed/slots.ts';
import { TokenBucket } from '../../replicator/feed/token-bucket.ts';
import { changeOf, markerOf, tag } from './support.ts';

const bytesOf = (text: string): ArrayBuffer => new TextEncoder().encode(text).buffer as ArrayBuffer;

describe('a token bucket', () => {
  it('[F4] allows a burst, then the rate, and never more', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 5, nowMs: 0 });
    expect(Array.from({ length: 7 }, () => bucket.take(0))).toEqual([
      true,
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
    expect(bucket.take(100)).toBe(true);
    expect(bucket.take(100)).toBe(false);
    expect(bucket.take(50)).toBe(false);
    expect(Array.from({ length: 7 }, () => bucket.take(100_000)).filter(Boolean).length).toBe(5);
  });
});

describe('an inbox', () => {
  const open = () => {
    const offences: number[] = [];
    const requests: string[] = [];
    const finish: (() => void)[] = [];
    const inbox = new Inbox({
      nowMs: () => 0,
      onHello: () => requests.push('hello'),
      onRequest: (request) => {
        requests.push(request.type);
        return new Promise((resolve) => finish.push(resolve));
      },
      onOffence: (_code, _message, close) => offences.push(close),
    });
    const send = (message: unknown): void => inbox.receive(bytesOf(JSON.stringify(message)), false);
    return { inbox, offences, requests, finish, send };
  };
  const hello = { type: 'hello', version: 1, token: 'x' };

  it('[F3] takes hello first and once', () => {
    const { offences, send } = open();
    send({ type: 'ping' });
    send(hello);
    send(hello);
    expect(offences).toEqual([CLOSE.protocol, CLOSE.protocol]);
  });

  it('[F1] keeps requests until hello is answered, and does one after the other', async () => {
    const { inbox, requests, finish, send } = open();
    send(hello);
    send({ type: 'ping' });
    send({ type: 'unsubscribe', id: 'a' });
    expect(requests).toEqual(['hello']);
    inbox.start();
    expect(requests).toEqual(['hello', 'ping']);
    finish[0]?.();
    await new Promise((resolve) => setImmediate(resolve));
    expect(requests).toEqual(['hello', 'ping', 'unsubscribe']);
  });

  it('[F4] bounds what a stranger can make it keep', () => {
    const { offences, send } = open();
    send(hello);
    for (let i = 0; i < 20; i++) send({ type: 'auth', token: 'x'.repeat(4_096) });
    expect(offences).toEqual([]);
    for (let i = 0; i < 20; i++) send({ type: 'auth', token: 'x'.repeat(4_096) });
    expect(offences[0]).toBe(CLOSE.tooMany);
  });

  it('[F4] counts frames before it reads them', () => {
    const { inbox, offences } = open();
    for (let i = 0; i <= CLIENT_FRAMES_BURST; i++) inbox.receive(bytesOf('no json'), false);
    expect(offences[offences.length - 1]).toBe(CLOSE.tooMany);
    expect(offences[0]).toBe(CLOSE.protocol);
  });
});

describe('admission', () => {
  it('[F4] counts in all, by address, and of strangers', () => {
    const admission = new Admission({ total: 4, perAddress: 2, unauthenticated: 3 });
    const first = admission.enter('a');
    admission.enter('a');
    expect(admission.refusal('a')?.status).toMatch(/^429/);
    admission.enter('b');
    expect(admission.refusal('b')?.status).toMatch(/^503/);
    first.authenticated();
    expect(admission.refusal('b')).toBeUndefined();
    first.leave(false);
    first.leave(false);
    expect(admission.refusal('a')).toBeUndefined();
  });

  it('[F4] lets no address take all the room for strangers, nor knock without end', () => {
    const admission = new Admission({ total: 100, perAddress: 8, unauthenticated: 6 });
    const places = [admission.enter('a'), admission.enter('a'), admission.enter('a')];
    expect(admission.refusal('a')?.status).toMatch(/^429/);
    expect(admission.refusal('b')).toBeUndefined();
    places[0]?.authenticated();
    expect(admission.refusal('a')).toBeUndefined();
    const knock = (address: string, nowMs: number): boolean => admission.knock(address, nowMs);
    const knocks = Array.from({ length: 9 }, () => knock('a', 100_000));
    expect(knocks.indexOf(false)).toBe(8);
    expect(knock('b', 100_000)).toBe(true);
    for (const _ of knocks) admission.knocked('a');
    expect(knock('a', 100_000)).toBe(true);
    for (const _ of knocks) knock('a', 100_001);
    expect(knock('a', 100_001 + KNOCK_MS)).toBe(false);
    expect(knock('a', 100_002 + 2 * KNOCK_MS)).toBe(true);
    for (const _ of knocks) knock('a', 100_003 + 2 * KNOCK_MS);
    expect(knock('a', 100_003 + 2 * KNOCK_MS)).toBe(false);
    expect(knock('a', 100_003 + 5 * KNOCK_MS)).toBe(true);
  });

  it('[F26] keeps the place of a slow reader while its backlog may be in memory', () => {
    const admission = new Admission({ total: 1, perAddress: 1, unauthenticated: 1 });
    admission.enter('a').leave(true);
    expect(admission.refusal('a')).toBeDefined();
    admission.stop();
  });
});

describe('slots', () => {
  it('[F26] let a few run, fewer of one key, and nobody is forgotten', async () => {
    const slots = new Slots({ total: 3, perKey: 2 });
    const started: string[] = [];
    const take = async (key: number, name: string) => {
      const release = await slots.take(key);
      started.push(name);
      return release;
    };
    const waiting = [take(1, 'a'), take(1, 'b'), take(1, 'c'), take(2, 'd'), take(2, 'e')] as const;
    await Promise.all([waiting[0], waiting[1], waiting[3]]);
    expect(started).toEqual(['a', 'b', 'd']);
    const release = await waiting[0];
    release();
    release();
    (await waiting[2])();
    expect(started).toEqual(['a', 'b', 'd', 'c']);
    await waiting[4];
    expect(started.length).toBe(5);
  });
});

describe('a control change', () => {
  const session = (op: 'insert' | 'update' | 'delete', id: number) =>
    changeOf(op, 'sessions', { ...tag(1, id, ''), user_id: '1' });

  it('[F21] concerns the session it names, or everybody where it may reach anybody', () => {
    expect(whoIsConcerned([changeOf('insert', 'tags', tag(1, 1, 'a'))])).toBe('nobody');
    expect(whoIsConcerned([session('insert', 5)])).toBe('nobody');
    const two = whoIsConcerned([session('update', 5), session('delete', 6), session('insert', 7)]);
    expect([5, 6, 7].map((id) => isConcerned(two, id))).toEqual([true, true, false]);
    for (const table of ['accounts', 'memberships', 'roles'] as const) {
      expect(whoIsConcerned([markerOf('bulk', table)])).toBe('everybody');
    }
    expect(whoIsConcerned([markerOf('truncate', 'sessions')])).toBe('everybody');
    expect(
      whoIsConcerned([
        changeOf('insert', 'memberships', { ...tag(1, 1, ''), user_id: '1', role_id: '1' }),
      ]),
    ).toBe('everybody');
  });
});
