import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BinaryNode } from '@whiskeysockets/baileys';
import { silent } from '../../fakes/whatsapp/quiet.ts';
import { sql } from '../../platform/sql.ts';
import { SessionOver } from '../../server/ingest/whatsapp/device-session.ts';
import { eventually } from '../support/services.ts';
import {
  makePreKeys,
  openSessionWorld,
  textOf,
  writerTo,
  type SessionWorld,
  type Worked,
} from './whatsapp-session-world.ts';

let world: SessionWorld;
let proxy: CommitProxy;
beforeAll(async () => {
  world = await openSessionWorld();
  proxy = await startCommitProxy(world.ingestUrl);
  // What a device does at the end of its transactions, in the commit itself.
  await world.owner.query(sql`create table public.test_commits (device_id bigint, does text)`);
  await world.owner.query(sql`create sequence public.test_breaks`);
  await world.owner.query(sql`
    create function public.test_at_commit() returns trigger language plpgsql security definer as $$
    begin
      if exists (select from public.test_commits where device_id = new.device_id and does = 'fail') then
        raise exception 'the disk is full' using errcode = '53100';
      end if;
      if exists (select from public.test_commits where device_id = new.device_id and does = 'break')
        and nextval('public.test_breaks') = 1 then
        perform pg_terminate_backend(pg_backend_pid());
      end if;
      return null;
    end $$`);
  await world.owner.query(sql`
    create constraint trigger test_at_commit after insert on private.whatsapp_inbox
    deferrable initially deferred for each row execute function public.test_at_commit()`);
});
afterAll(() => proxy.stop());

const does = ({ context }: Worked, what: 'fail' | 'break') =>
  world.owner.query(sql`
    insert into public.test_commits (device_id, does) values (${context.deviceId}, ${what})`);
const heal = () => world.owner.query(sql`delete from public.test_commits`);
/** Everything of the device that is in the database. */
const stateOf = async (worked: Worked) => [
  await world.keyRows(worked),
  await world.sessionRow(worked),
  await worked.texts(),
];

describe('a commit that fails', () => {
  test('leaves neither ratchet nor message, and ends the socket before it can answer', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    await worked.receiver.receive(await ana.says('one', 'ONE'));
    const before = await stateOf(worked);
    await does(worked, 'fail');
    const two = await ana.says('two', 'TWO');
    worked.session.merge({ lastPropHash: 'new' });
    const endedAt = { length: 0 };
    const message = await worked.receiver.receive(two);
    endedAt.length = worked.receiver.ended.length;
    expect(message.message).toBeUndefined();
    // By the time Baileys hears of it, it has no connection to answer by.
    expect(endedAt.length).toBe(1);
    expect(worked.receiver.ended[0]).toBeInstanceOf(SessionOver);
    expect(worked.receiver.ended[0]).toMatchObject({ reason: 'unavailable' });
    expect(await stateOf(worked)).toEqual(before);
    expect(worked.calls).toEqual(['inbox']);
    await heal();
    // WhatsApp sends it again, to the next socket: by the same cache, which is no step ahead.
    await worked.session.close();
    await worked.reopen();
    expect((await worked.receiver.receive(two)).message?.conversation).toBe('two');
    expect(await worked.texts()).toEqual(['one', 'two']);
  });

  test('because the connection broke in it is made again, and is one', async () => {
    const worked = await world.device();
    const ana = await writerTo(worked);
    await does(worked, 'break');
    const message = await worked.receiver.receive(await ana.says('one', 'ONE'));
    expect(message.message?.conversation).toBe('one');
    expect(await worked.texts()).toEqual(['one']);
    const [row] = await world.owner.query(sql`select last_value from public.test_breaks`);
    expect(Number(row?.['last_value'])).toBe(2);
    await heal();
    expect(worked.receiver.ended).toEqual([]);
  });

  test('for all anybody knows, but came through, is made again and is one', async () => {
    const worked = await world.device({ database: world.connect(proxy.url) });
    const ana = await writerTo(worked);
    const [one, two] = [await ana.says('one', 'ONE'), await ana.says('two', 'TWO')];
    const lost = proxy.lost();
    proxy.loseNextAnswer();
    expect((await worked.receiver.receive(one)).message?.conversation).toBe('one');
    expect(proxy.lost()).toBe(lost + 1);
    expect(await worked.texts()).toEqual(['one']);
    expect((await worked.receiver.receive(two)).message?.conversation).toBe('two');
    expect(await worked.texts()).toEqual(['one', 'two']);
  });
});

test('what was decrypted with nothing to commit is in the inbox before it is answered', async () => {
  const worked = await world.device();
  const ana = await writerTo(worked);
  const { session, receiver } = worked;
  // A Baileys that keeps its ratchets elsewhere, should there ever be one.
  const keys = {
    ...receiver.keys,
    set: () => undefined,
    transaction: <T>(work: () => Promise<T>) => work(),
  };
  const { creds } = session.auth;
  const repository = session.makeSignalRepository({ creds, keys }, silent);
  const { content, attrs } = await ana.says('one', 'ONE');
  const ciphertext = Buffer.from((content as BinaryNode[])[0]?.content as Buffer);
  receiver.announce(stanzaOf(attrs, ciphertext));
  await repository.decryptMessage({ jid: ana.lid, type: 'pkmsg', ciphertext });
  expect(await worked.texts()).toEqual(['one']);
  expect((await world.keyRows(worked)).map((row) => row['type'])).toEqual(['pre-key']);
});

function stanzaOf(attrs: BinaryNode['attrs'], content: Buffer): BinaryNode {
  return { tag: 'message', attrs, content: [{ tag: 'enc', attrs: {}, content }] };
}

describe('a key that no database takes', () => {
  test('is refused alone: nothing of its set is kept, in memory neither, and the session goes on', async () => {
    const worked = await world.device();
    const { keys } = worked.session.auth;
    await keys.set({ 'lid-mapping': { ana: 'old' } });
    const refused = async () => keys.set({ 'lid-mapping': { ana: 'new', ['x'.repeat(300)]: 'y' } });
    await expect(refused()).rejects.toMatchObject({ code: 'unprocessable' });
    expect(await keys.get('lid-mapping', ['ana'])).toEqual({ ana: 'old' });
    await keys.set({ 'lid-mapping': { ana: 'newer' } });
    expect(await keys.get('lid-mapping', ['ana'])).toEqual({ ana: 'newer' });
    expect(worked.receiver.ended).toEqual([]);
  });
});

describe('a database that is away', () => {
  test('for good is no reason to believe that a ratchet is not there', async () => {
    const away = world.connect(proxy.url);
    const worked = await world.device({ database: away });
    const ana = await writerTo(worked);
    await worked.receiver.receive(await ana.says('one', 'ONE'));
    const before = await stateOf(worked);
    const two = await ana.says('two', 'TWO');
    worked.cache.drop(worked.context.deviceId);
    proxy.refuse();
    const message = await worked.receiver.receive(two);
    expect(message.message).toBeUndefined();
    expect(worked.receiver.ended[0]).toMatchObject({ reason: 'unavailable' });
    proxy.accept();
    expect(await stateOf(worked)).toEqual(before);
    await worked.session.close();
    await worked.reopen();
    expect((await worked.receiver.receive(two)).message?.conversation).toBe('two');
  });

  test('for a moment is waited for', async () => {
    const worked = await world.device({ database: world.connect(proxy.url) });
    const ana = await writerTo(worked);
    const one = await ana.says('one', 'ONE');
    proxy.refuse();
    const received = worked.receiver.receive(one);
    await eventually(() => proxy.refused() > 0, { says: 'it was tried' });
    proxy.accept();
    expect((await received).message?.conversation).toBe('one');
    expect(await worked.texts()).toEqual(['one']);
    expect(worked.receiver.ended).toEqual([]);
  });

  test('leaves the credentials dirty, and who closes does not wait for it', async () => {
    const worked = await world.device({ database: world.connect(proxy.url) });
    const before = await world.sessionRow(worked);
    proxy.refuse();
    worked.session.merge({ lastPropHash: 'new' });
    await worked.session.close();
    proxy.accept();
    expect(await world.sessionRow(worked)).toEqual(before);
    expect(worked.receiver.ended[0]).toMatchObject({ reason: 'unavailable' });
  });
});

test('who has lost the device writes nothing more, and is told once', async () => {
  const worked = await world.device();
  const ana = await writerTo(worked);
  await worked.receiver.receive(await ana.says('one', 'ONE'));
  const before = await stateOf(worked);
  const [two, three] = [await ana.says('two', 'TWO'), await ana.says('three', 'THREE')];
  await worked.lose();
  worked.calls.length = 0;
  worked.session.merge({ lastPropHash: 'late' });
  for (const node of [two, three])
    expect((await worked.receiver.receive(node)).message).toBeUndefined();
  await expect(worked.session.flush()).rejects.toMatchObject({ reason: 'lost' });
  await expect(makePreKeys(worked, 5)).rejects.toMatchObject({ reason: 'lost' });
  expect(worked.calls.filter((call) => call === 'lost')).toHaveLength(1);
  expect(worked.receiver.ended).toHaveLength(1);
  expect(worked.receiver.ended[0]).toMatchObject({ reason: 'lost' });
  await worked.session.close();
  expect(await stateOf(worked)).toEqual(before);
});

test('two devices that hear from one person at once: each message is one commit with its ratchet', async () => {
  const lid = '70000000000001@lid';
  const all = await Promise.all([world.device(), world.device(), world.device()]);
  const people = await Promise.all(all.map((worked) => writerTo(worked, { lid })));
  const last = all[2] as Worked;
  for (const [at, worked] of all.entries())
    await worked.receiver.receive((await people[at]?.says('first', 'FIRST')) ?? never());
  const before = await stateOf(last);
  await does(last, 'fail');
  const nodes = await Promise.all(people.map((person) => person.says('second', 'SECOND')));
  // What is not in memory is waited for, with libsignal's queue for that person held.
  for (const worked of all) worked.cache.drop(worked.context.deviceId);
  await Promise.all(all.map((worked, at) => worked.receiver.receive(nodes[at] ?? never())));
  expect(await all[0]?.texts()).toEqual(['first', 'second']);
  expect(await all[1]?.texts()).toEqual(['first', 'second']);
  expect(await stateOf(last)).toEqual(before);
  await heal();
  expect((await all[0]?.inbox())?.map(textOf)).toEqual(['first', 'second']);
});

function never(): never {
  throw new Error('there are three of them');
}

type CommitProxy = {
  readonly url: string;
  /** The next commit goes through, and its answer does not. */
  loseNextAnswer(): void;
  lost(): number;
  /** Cuts all connections and takes no new ones. */
  refuse(): void;
  accept(): void;
  refused(): number;
  stop(): Promise<void>;
};

async function startCommitProxy(target: string): Promise<CommitProxy> {
  const { hostname, port } = new URL(target);
  const open = new Set<Socket>();
  let losesNext = false;
  let isRefusing = false;
  let lost = 0;
  let refused = 0;
  const server = createServer((client) => {
    if (isRefusing) {
      refused++;
      return void client.destroy();
    }
    const upstream = connect(Number(port), hostname);
    let isLosing = false;
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => open.delete(socket));
    }
    client.on('data', (chunk: Buffer) => {
      if (losesNext && chunk.includes('commit\0')) [losesNext, isLosing] = [false, true];
      upstream.write(chunk);
    });
    client.on('close', () => upstream.destroy());
    upstream.on('data', (chunk: Buffer) => {
      if (!isLosing) return void client.write(chunk);
      lost++;
      client.destroy();
    });
    upstream.on('close', () => client.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = new URL(target);
  url.port = String((server.address() as AddressInfo).port);
  url.hostname = '127.0.0.1';
  const cut = (): void => {
    for (const socket of open) socket.destroy();
  };
  return {
    url: url.href,
    loseNextAnswer: () => void (losesNext = true),
    lost: () => lost,
    refuse: () => {
      isRefusing = true;
      cut();
    },
    accept: () => void (isRefusing = false),
    refused: () => refused,
    stop: async () => {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
