import { setImmediate } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { SignalParty } from '../../fakes/whatsapp/signal-party.ts';
import { createSecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';
import { systemClock } from '../../server/ingest/clock.ts';
import { createKeyCache } from '../../server/ingest/whatsapp/key-cache.ts';
import { deleteSession, openSession } from '../../server/ingest/whatsapp/session-store.ts';
import {
  bundleOf,
  makePreKeys,
  ME,
  openSessionWorld,
  stanza,
  writerTo,
  type SessionWorld,
  type Worked,
} from './whatsapp-session-world.ts';

let world: SessionWorld;
beforeAll(async () => {
  world = await openSessionWorld();
});

describe('what was decrypted', () => {
  test('is in the inbox when Baileys has it, in the order in which it was decrypted', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    for (const text of ['one', 'two', 'three']) {
      const message = await worked.receiver.receive(await ana.says(text, `ID-${text}`));
      expect(message.message?.conversation).toBe(text);
    }
    expect(await worked.texts()).toEqual(['one', 'two', 'three']);
    expect((await worked.inbox())[0]?.attrs).toMatchObject({
      id: 'ID-one',
      from: ana.lid,
      notify: 'Ana',
    });
    expect(worked.calls).toEqual(['inbox', 'inbox', 'inbox']);
  });

  test('is written by the transaction that writes its ratchet and uses up its key', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    await worked.receiver.receive(await ana.says('one', 'ONE'));
    const keys = await world.keyRows(worked);
    const [inbox] = await world.owner.query(sql`
      select xmin from private.whatsapp_inbox where device_id = ${worked.context.deviceId}`);
    const by = keys.filter((row) => row['xmin'] === inbox?.['xmin']).map((row) => row['type']);
    expect(by).toEqual(['identity-key', 'session']);
    expect(keys.some((row) => row['type'] === 'pre-key')).toBe(false);
  });

  test('is there once when WhatsApp sends the stanza again', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    const [first, second] = [await ana.says('one', 'ONE'), await ana.says('two', 'TWO')];
    await worked.receiver.receive(first);
    await worked.receiver.receive(second);
    for (const again of [first, second]) {
      const message = await worked.receiver.receive(copyOf(again));
      expect(message.message).toBeUndefined();
    }
    expect(await worked.texts()).toEqual(['one', 'two']);
    // And what comes after it is read as ever.
    await worked.receiver.receive(await ana.says('three', 'THREE'));
    expect(await worked.texts()).toEqual(['one', 'two', 'three']);
  });

  test('of a group is a row for each part: the key of the sender, and what was written with it', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    const group = '120363000000000001@g.us';
    const { ciphertext, distribution } = await ana.party.encryptForGroup(group, ana.lid, {
      conversation: 'to all',
    });
    const to = worked.session.auth.creds.me?.lid ?? '';
    const bundle = await bundleOf(worked, 1);
    const key = await ana.party.encrypt(to, () => bundle, distribution);
    const attrs = { id: 'GROUP', from: group, participant: ana.lid };
    const message = await worked.receiver.receive(
      stanza(attrs, [key, { type: 'skmsg', ciphertext }]),
    );
    expect(message.message?.conversation).toBe('to all');
    expect(await worked.texts()).toEqual(['', 'to all']);
    const again = await ana.party.encryptForGroup(group, ana.lid, { conversation: 'once more' });
    await worked.receiver.receive(
      stanza({ ...attrs, id: 'AGAIN' }, [{ type: 'skmsg', ciphertext: again.ciphertext }]),
    );
    expect((await worked.texts())[2]).toBe('once more');
  });

  test('by nobody is not there: a ciphertext that came by no stanza is refused', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    const bundle = await bundleOf(worked, 1);
    const to = worked.session.auth.creds.me?.lid ?? '';
    const { type, ciphertext } = await ana.party.encrypt(to, () => bundle, { conversation: 'x' });
    const { repository } = worked.receiver;
    await expect(repository.decryptMessage({ jid: ana.lid, type, ciphertext })).rejects.toThrow(
      'of no stanza',
    );
    expect((await world.keyRows(worked)).map((row) => row['type'])).toEqual(['pre-key']);
  });
});

describe('a ratchet', () => {
  /** As Baileys sends: the ratchet is read, other things are waited for, and it is used. */
  const sends = async ({ receiver }: Worked, to: string, meanwhile: () => Promise<void>) => {
    const { keys, repository } = receiver;
    const [read, going] = [createGate(), createGate()];
    const sending = keys.transaction(async () => {
      await repository.validateSession(to);
      read.open();
      await going.opened;
      return repository.encryptMessage({ jid: to, data: Buffer.from('\x0a\x02hi\x01') });
    }, ME.id);
    await read.opened;
    const waits = meanwhile();
    await setImmediate();
    going.open();
    const [encrypted] = await Promise.all([sending, waits]);
    return encrypted;
  };

  test('that is used for sending is not put back by what comes meanwhile, nor the other way round', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    await worked.receiver.receive(await ana.says('one', 'ONE'));
    const [two, three] = [await ana.says('two', 'TWO'), await ana.says('three', 'THREE')];
    const receive = async (node: typeof two) => void (await worked.receiver.receive(node));
    const answers = [
      await sends(worked, ana.lid, () => receive(two)),
      await sends(worked, ana.lid, () => receive(three)),
      await sends(worked, ana.lid, async () => undefined),
    ];
    for (const answer of answers)
      expect((await ana.party.decrypt(ME.lid, answer)).conversation).toBe('hi');
    for (const again of [two, three])
      expect((await worked.receiver.receive(copyOf(again))).message).toBeUndefined();
    expect(await worked.texts()).toEqual(['one', 'two', 'three']);
  });

  test('for which two transactions wait, each for what the other has, keeps nobody for good', async () => {
    const waits: number[] = [];
    const sleep = async (ms: number): Promise<void> => void waits.push(ms);
    const worked = await world.device({ clock: { ...systemClock, sleep } });
    await worked.session.flush();
    waits.length = 0;
    const { keys } = worked.receiver;
    const both = [ME.id, 'other'].map((name, at) =>
      keys.transaction(async () => {
        const [first = '', second = ''] = at === 0 ? ['a', 'b'] : ['b', 'a'];
        await keys.get('session', [first]);
        await setImmediate();
        await keys.get('session', [second]);
        await keys.set({ session: { [first]: Buffer.of(at) } });
      }, name),
    );
    await Promise.all(both);
    expect(waits).toEqual([5_000, 5_000]);
    const { a, b } = await keys.get('session', ['a', 'b']);
    expect([a, b]).toEqual([Buffer.of(0), Buffer.of(1)]);
  });
});

describe('somebody who has a new phone', () => {
  test('is read with his new key', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    await worked.receiver.receive(await ana.says('old', 'OLD'));
    const renewed = await writerTo(worked, { preKeyId: 2, lid: ana.lid });
    await worked.receiver.receive(await renewed.says('new', 'NEW'));
    expect(await worked.texts()).toEqual(['old', 'new']);
  });

  test('and cannot be read changes nothing: the old phone is read on', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    await worked.receiver.receive(await ana.says('old', 'OLD'));
    await makePreKeys(worked, 2);
    const bundle = await bundleOf(worked, 2);
    // Used up in the meantime.
    await worked.session.auth.keys.set({ 'pre-key': { 2: null } });
    const before = await world.keyRows(worked);
    const party = new SignalParty();
    const to = worked.session.auth.creds.me?.lid ?? '';
    const unreadable = await party.encrypt(to, () => bundle, { conversation: 'new' });
    const message = await worked.receiver.receive(
      stanza({ id: 'NEW', from: ana.lid }, [unreadable]),
    );
    expect(message.messageStubParameters).toEqual(['Invalid PreKey ID']);
    expect(await world.keyRows(worked)).toEqual(before);
    await worked.receiver.receive(await ana.says('older', 'OLDER'));
    expect(await worked.texts()).toEqual(['old', 'older']);
  });
});

describe('a session', () => {
  test('goes on after a restart, in both directions', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    await worked.receiver.receive(await ana.says('before', 'BEFORE'));
    await worked.session.close();
    await worked.reopen(createKeyCache(systemClock));
    await worked.receiver.receive(await ana.says('after', 'AFTER'));
    expect(await worked.texts()).toEqual(['before', 'after']);
    const { repository } = worked.receiver;
    const answer = await repository.encryptMessage({
      jid: ana.lid,
      data: Buffer.from('\x0a\x02hi\x01'),
    });
    const heard = await ana.party.decrypt(worked.session.auth.creds.me?.lid ?? '', answer);
    expect(heard.conversation).toBe('hi');
  });

  test('is made and kept when the device has none; another account cannot have it', async () => {
    const worked = await world.device();
    const { noiseKey } = worked.session.auth.creds;
    await worked.session.close();
    await worked.reopen();
    expect(worked.session.auth.creds.noiseKey).toEqual(noiseKey);
    const other = await world.device();
    const context = { ...worked.context, deviceId: other.context.deviceId };
    const options = { cache: worked.cache, onInbox: () => undefined, onLost: () => undefined };
    await expect(openSession(context, options)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('sealed with another key is not opened, and not made anew', async () => {
    const worked = await world.device();
    const before = await world.sessionRow(worked);
    await worked.session.close();
    const context = { ...worked.context, box: createSecretBox(Buffer.alloc(32, 7)) };
    const options = { cache: worked.cache, onInbox: () => undefined, onLost: () => undefined };
    await expect(openSession(context, options)).rejects.toMatchObject({ code: 'configuration' });
    expect(await world.sessionRow(worked)).toEqual(before);
  });

  test('that was closed writes and reads nothing more', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    const late = await ana.says('late', 'LATE');
    const before = [await world.keyRows(worked), await world.sessionRow(worked)];
    const { keys } = worked.session.auth;
    await worked.session.close();
    await worked.session.close();
    expect(await worked.receiver.receive(late)).toMatchObject({
      messageStubParameters: ['the session is over: closed'],
    });
    expect(() => worked.session.merge({ registered: true })).not.toThrow();
    for (const call of [
      () => keys.set({ 'lid-mapping': { a: 'b' } }),
      () => keys.get('lid-mapping', ['a']),
      () => keys.clear?.(),
      () => worked.session.flush(),
    ])
      await expect(async () => call()).rejects.toMatchObject({ reason: 'closed' });
    expect([await world.keyRows(worked), await world.sessionRow(worked)]).toEqual(before);
    expect(worked.receiver.ended).toHaveLength(1);
  });

  test('that is logged out goes with its keys, in the database and in memory', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    await worked.receiver.receive(await ana.says('kept', 'KEPT'));
    const { noiseKey } = worked.session.auth.creds;
    await worked.session.close();
    await deleteSession(worked.context, worked.cache);
    expect(await world.keyRows(worked)).toEqual([]);
    expect(await world.sessionRow(worked)).toBeUndefined();
    expect(worked.cache.stats()).toEqual({ entries: 0, bytes: 0 });
    expect(await worked.texts()).toEqual(['kept']);
    await worked.reopen();
    expect(worked.session.auth.creds.noiseKey).not.toEqual(noiseKey);
  });

  test('that is deleted while it works is over, and writes no keys of nobody', async () => {
    const worked = await world.device();
    await deleteSession(worked.context, worked.cache);
    await expect(
      (async () => worked.session.auth.keys.set({ 'lid-mapping': { a: 'b' } }))(),
    ).rejects.toMatchObject({ reason: 'gone' });
    expect(await world.keyRows(worked)).toEqual([]);
  });

  test('can be emptied of its keys', async () => {
    const worked = await world.device();
    const { keys } = worked.session.auth;
    await keys.set({ 'lid-mapping': { a: 'b' } });
    await keys.clear?.();
    expect(await keys.get('lid-mapping', ['a'])).toEqual({});
    expect(await world.keyRows(worked)).toEqual([]);
    expect(await world.sessionRow(worked)).toBeDefined();
  });
});

function copyOf(node: ReturnType<typeof stanza>): ReturnType<typeof stanza> {
  const content = Array.isArray(node.content) ? node.content : [];
  return {
    ...node,
    content: content.map((child) => ({ ...child, content: Buffer.from(child.content as Buffer) })),
  };
}

function createGate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
