import {
  generateSignalPubKey,
  getBinaryNodeChild,
  getBinaryNodeChildBuffer,
  getBinaryNodeChildren,
  getBinaryNodeChildUInt,
  S_WHATSAPP_NET,
  type BinaryNode,
} from '@whiskeysockets/baileys';
import { deviceOf, isLid, lidJid, phoneJid } from './addresses.ts';
import { isCodeStage, receiveCodeStage } from './code-pairing.ts';
import type { Connection } from './connection.ts';
import { replay } from './delivery.ts';
import { answerAboutGroups } from './groups.ts';
import type { LinkedDevice } from './linked-device.ts';
import { strikeOpened } from './login.ts';
import type { Bundle } from './signal-party.ts';
import type { World } from './world.ts';

/** An `<iq>` of a client's. What is asked by none of these names is answered with an empty result. */
export function answerQuery(world: World, connection: Connection, query: BinaryNode): void {
  const { id = '', type, xmlns = '' } = query.attrs;
  const [child] = Array.isArray(query.content) ? query.content : [];
  if (type === 'result' || type === 'error') {
    // Linked: the client is to come again, as a device.
    if (child?.tag === 'pair-device-sign') {
      connection.end({ tag: 'stream:error', attrs: { code: '515' } });
    }
    return;
  }
  const at = { device: connection.device?.jid };
  const fits = (does: { xmlns?: string | undefined }): boolean => (does.xmlns ?? xmlns) === xmlns;
  if (world.faults.strike(['query-silence'], { ...at, fits })) return;
  const answer = (content: BinaryNode[] | undefined): void =>
    connection.send({
      tag: 'iq',
      attrs: { from: query.attrs['to'] ?? S_WHATSAPP_NET, id, type: 'result', t: nowSeconds() },
      ...(content && { content }),
    });
  const refuse = (code: number): void =>
    connection.send({
      tag: 'iq',
      attrs: { from: query.attrs['to'] ?? S_WHATSAPP_NET, id, type: 'error' },
      content: [{ tag: 'error', attrs: { code: String(code), text: 'refused' } }],
    });
  const refused = world.faults.strike(['query-error'], { ...at, fits });
  if (refused) return refuse(refused.code);
  const stage = isCodeStage(query);
  if (stage) {
    const { content, afterwards } = receiveCodeStage(world, connection, stage);
    answer(content);
    return afterwards?.();
  }
  if (xmlns === 'w:g2' && child && connection.device) {
    const { to } = query.attrs;
    const found = answerAboutGroups(world, connection.device.owner, { to, child });
    return 'error' in found ? refuse(found.error) : answer(found);
  }
  answer(contentFor(world, connection, { xmlns, type, child, query }));
  afterAnswer(world, connection, { xmlns, child });
}

/** What a query is the sign for. */
function afterAnswer(
  world: World,
  connection: Connection,
  { xmlns, child }: { xmlns: string; child: BinaryNode | undefined },
): void {
  if (xmlns === 'md' && child?.tag === 'remove-companion-device' && connection.device) {
    connection.device.isRemoved = true;
    return;
  }
  if (xmlns === 'passive' && child?.tag === 'active' && connection.device) {
    if (!strikeOpened(world, connection, connection.device)) {
      replay(world, connection, connection.device);
    }
  }
}

type Asked = {
  readonly xmlns: string;
  readonly type: string | undefined;
  readonly child: BinaryNode | undefined;
  readonly query: BinaryNode;
};

function contentFor(world: World, connection: Connection, asked: Asked): BinaryNode[] | undefined {
  const { xmlns, child } = asked;
  const { device } = connection;
  switch (xmlns) {
    case 'encrypt':
      return device && child ? answerAboutKeys(world, device, asked) : undefined;
    case 'usync':
      return child ? [answerAboutPeople(world, child)] : undefined;
    case 'privacy':
      return child?.tag === 'privacy' ? [PRIVACY] : undefined;
    case 'blocklist':
      return [{ tag: 'list', attrs: {}, content: [] }];
    case 'abt':
      return [{ tag: 'props', attrs: { hash: 'fake' }, content: [] }];
    case 'w:m':
      return child?.tag === 'media_conn' ? [mediaConnection(world)] : undefined;
    case 'w:sync:app:state':
      return child ? [emptyCollections(child)] : undefined;
    default:
      return undefined;
  }
}

const PRIVACY: BinaryNode = {
  tag: 'privacy',
  attrs: {},
  content: [{ tag: 'category', attrs: { name: 'readreceipts', value: 'all' } }],
};

const MEDIA_SECONDS = 300;

/** Where files are uploaded, and with what. */
function mediaConnection({ places, mediaAuth }: World): BinaryNode {
  const hostname = new URL(places.https).host;
  const host = {
    tag: 'host',
    attrs: { hostname, maxContentLengthBytes: String(100 * 1024 * 1024) },
  };
  const attrs = { auth: mediaAuth, ttl: String(MEDIA_SECONDS) };
  return { tag: 'media_conn', attrs, content: [host] };
}

function answerAboutKeys(
  world: World,
  device: LinkedDevice,
  { type, child, query }: Asked,
): BinaryNode[] | undefined {
  if (type === 'set') {
    if (child?.tag === 'rotate') rotate(device, child);
    else upload(device, query);
    return undefined;
  }
  if (!child) return undefined;
  switch (child.tag) {
    case 'count': {
      const { preKeysTold } = world.settings;
      const value = preKeysTold === 'real' ? device.preKeys.left : preKeysTold;
      return [{ tag: 'count', attrs: { value: String(value) } }];
    }
    case 'digest':
      return [{ tag: 'digest', attrs: {} }];
    case 'key': {
      const content = getBinaryNodeChildren(child, 'user').map(({ attrs }) =>
        keysOf(world, attrs['jid'] ?? ''),
      );
      return [{ tag: 'list', attrs: {}, content }];
    }
    default:
      return undefined;
  }
}

/** Of a phone, or of a device that is linked with one. */
function keysOf(world: World, jid: string): BinaryNode {
  const person = world.personAt(jid);
  const number = deviceOf(jid);
  if (person && number === 0) return person.signal.keysNode(jid);
  const device = person?.devices.get(number);
  if (device && !device.isRemoved) return device.keysNode(jid);
  const error = { tag: 'error', attrs: { code: '404', text: 'item-not-found' } };
  return { tag: 'user', attrs: { jid }, content: [error] };
}

function upload(device: LinkedDevice, query: BinaryNode): void {
  const registrationId = getBinaryNodeChildUInt(query, 'registration', 4);
  const identity = getBinaryNodeChildBuffer(query, 'identity');
  const signedPreKey = readSignedPreKey(getBinaryNodeChild(query, 'skey'));
  if (registrationId === undefined || !identity || !signedPreKey) return;
  const list = getBinaryNodeChildren(getBinaryNodeChild(query, 'list'), 'key');
  const preKeys = list.flatMap((key) => {
    const keyId = getBinaryNodeChildUInt(key, 'id', 3);
    const value = getBinaryNodeChildBuffer(key, 'value');
    if (keyId === undefined || !value) return [];
    return [{ keyId, publicKey: generateSignalPubKey(value) }];
  });
  const identityKey = generateSignalPubKey(identity);
  device.upload({ registrationId, identityKey, signedPreKey }, preKeys);
}

function rotate(device: LinkedDevice, child: BinaryNode): void {
  const signedPreKey = readSignedPreKey(getBinaryNodeChild(child, 'skey'));
  if (signedPreKey) device.rotate(signedPreKey);
}

function readSignedPreKey(node: BinaryNode | undefined): Bundle['signedPreKey'] | undefined {
  if (!node) return undefined;
  const keyId = getBinaryNodeChildUInt(node, 'id', 3);
  const value = getBinaryNodeChildBuffer(node, 'value');
  const signature = getBinaryNodeChildBuffer(node, 'signature');
  if (keyId === undefined || !value || !signature) return undefined;
  return { keyId, publicKey: generateSignalPubKey(value), signature };
}

/** Who is on WhatsApp, with which devices and which LID, as far as each is asked. */
function answerAboutPeople(world: World, usync: BinaryNode): BinaryNode {
  const asked = getBinaryNodeChild(usync, 'query')?.content;
  const wanted = new Set(Array.isArray(asked) ? asked.map(({ tag }) => tag) : []);
  const users = getBinaryNodeChildren(getBinaryNodeChild(usync, 'list'), 'user');
  const content = users.map((user) => aboutUser(world, user, wanted));
  const { sid = '', mode = '', context = '' } = usync.attrs;
  const attrs = { sid, mode, context, last: 'true', index: '0' };
  return { tag: 'usync', attrs, content: [{ tag: 'list', attrs: {}, content }] };
}

function aboutUser(world: World, user: BinaryNode, wanted: ReadonlySet<string>): BinaryNode {
  const phone = getBinaryNodeChildBuffer(user, 'contact')?.toString() ?? contactText(user);
  const jid = user.attrs['jid'] ?? phoneJid((phone ?? '').replace(/\D/g, ''));
  const person = world.personAt(jid);
  const content: BinaryNode[] = [];
  if (wanted.has('contact')) {
    content.push({ tag: 'contact', attrs: { type: person ? 'in' : 'out' } });
  }
  if (wanted.has('devices')) {
    const list = (person ? [0, ...person.linked().map(({ number }) => number)] : []).map(
      (number) => ({
        tag: 'device',
        attrs: { id: String(number), ...(number > 0 && { 'key-index': '1' }) },
      }),
    );
    const content0 = [{ tag: 'device-list', attrs: {}, content: list }];
    content.push({ tag: 'devices', attrs: {}, content: content0 });
  }
  if (wanted.has('lid') && person?.isLidKnown === true && !isLid(jid)) {
    content.push({ tag: 'lid', attrs: { val: lidJid(person.lid) } });
  }
  return { tag: 'user', attrs: { jid }, content };
}

function contactText(user: BinaryNode): string | undefined {
  const content = getBinaryNodeChild(user, 'contact')?.content;
  return typeof content === 'string' ? content : undefined;
}

/** App state: archived chats, pins, names of contacts. There is none here. */
function emptyCollections(sync: BinaryNode): BinaryNode {
  const content = getBinaryNodeChildren(sync, 'collection').map(({ attrs }) => ({
    tag: 'collection',
    attrs: { name: attrs['name'] ?? '', version: attrs['version'] ?? '0' },
  }));
  return { tag: 'sync', attrs: {}, content };
}

function nowSeconds(): string {
  return String(Math.floor(Date.now() / 1_000));
}
