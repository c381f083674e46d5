import type { proto } from '@whiskeysockets/baileys';
import { writeNewsletter, writeStatus } from './broadcast.ts';
import { typeCode } from './code-pairing.ts';
import type { FatalInput } from './faults.ts';
import { decryptFile } from './files.ts';
import { makeGroup, writeInGroup, type Group, type GroupInput } from './groups.ts';
import { sendReceipt, type ReceiptType } from './habits.ts';
import { sendHistory, type HistoryInput } from './history.ts';
import { makeCredentials } from './link.ts';
import type { LinkedDevice } from './linked-device.ts';
import { breakOff, removeDevice } from './login.ts';
import { mediaContent, mediaPartOf, type MediaInput } from './media-content.ts';
import { scan } from './pairing.ts';
import type { Person, PersonInput } from './person.ts';
import { appear, call, readOnPhone, type } from './signs-of-life.ts';
import { mustFind } from './world-error.ts';
import type { World } from './world.ts';
import { writeOnPhone, writeTo, type WriteOptions, type Written } from './write.ts';

/** Texts may be said as such. */
type Said = proto.IMessage | string;
/** Somebody, and the account whose devices hear of it. */
type FromTo = { readonly from: Person; readonly to: Person };

/** What can be done in the world of the fake: by people, by their phones, by the network. */
export type Acts = {
  /** @throws WorldError when the phone or the LID is taken. */
  addPerson(input: PersonInput): Person;
  changeLid(person: Person, lid: string): void;
  /** The phone reads the code that a connection shows. @throws WorldError when none does. */
  scan(person: Person, qr: string): LinkedDevice;
  /** The code of eight characters is typed on the phone. @throws WorldError when nobody asked for it. */
  typeCode(person: Person, code: string): Promise<void>;
  /** A linked device without a pairing, with what its session keeps. `isSigned: false` is quicker, for many. */
  makeCredentials: typeof makeCredentials;
  /** The phone removes it: it is told, and told again whenever it comes. */
  removeDevice(device: LinkedDevice): void;

  /** Somebody writes to an account: its devices get it, now or when they come. */
  write(who: FromTo, said: Said, options?: WriteOptions): Promise<Written>;
  /** Somebody writes on the phone: the linked devices get the copy, and who it is for gets nothing. */
  writeOnPhone(
    who: { phone: Person; to: Person },
    said: Said,
    options?: WriteOptions,
  ): Promise<Written>;
  makeGroup(input: GroupInput): Group;
  writeInGroup(
    who: { from: Person; group: Group },
    said: Said,
    options?: WriteOptions,
  ): Promise<Written>;
  writeStatus(who: FromTo, said: Said): Promise<Written>;
  writeNewsletter(to: Person, post: { channel: string; text: string }): Written;
  /** Content with a file, which is put into the storage. */
  media(input: MediaInput): Promise<proto.IMessage>;
  /** The file of a message that somebody got, decrypted. @throws WorldError when it has none, or it is not there. */
  download(message: proto.IMessage): Promise<Buffer>;
  /** Files that are too old: 404 or 410. */
  expire(message: proto.IMessage, status?: number): void;
  sendHistory(
    device: LinkedDevice,
    chunk: HistoryInput,
  ): Promise<Written & { readonly bytes: number }>;

  /** Somebody's word about a message of the device, besides his habits. `chat`: as the device addressed it. */
  receipt(
    device: LinkedDevice,
    receipt: { person: Person; id: string; type: ReceiptType; chat?: string },
  ): void;
  readOnPhone(who: { phone: Person; of: Person }, ids: readonly string[]): void;
  type(who: FromTo, state: 'composing' | 'recording' | 'paused'): void;
  appear(who: FromTo, isOnline: boolean, lastSeconds?: number): void;
  /** Somebody calls; its id. */
  call(who: FromTo, how: { ends: 'missed' | 'accepted' | 'rejected'; isVideo?: boolean }): string;

  /** Now, whatever is under way. @throws WorldError when the device is not connected. */
  breakOff(device: LinkedDevice, how: FatalInput): void;
};

export function createActs(world: World): Acts {
  return {
    addPerson: (input) => world.addPerson(input),
    changeLid: (person, lid) => world.changeLid(person, lid),
    scan: (person, qr) => scan(world, person, qr),
    typeCode: (person, code) => typeCode(world, person, code),
    makeCredentials,
    removeDevice: (device) => removeDevice(world, device),
    write: (who, said, options) => writeTo(world, who, contentOf(said), options),
    writeOnPhone: (who, said, options) => writeOnPhone(world, who, contentOf(said), options),
    makeGroup: (input) => makeGroup(world, input),
    writeInGroup: (who, said, options) => writeInGroup(world, who, contentOf(said), options),
    writeStatus: (who, said) => writeStatus(world, who, contentOf(said)),
    writeNewsletter: (to, post) => writeNewsletter(world, to, post),
    media: (input) => mediaContent(world, world.places, input),
    download: async (message) => {
      const { address, mediaKey, type: kind } = mediaPartOf(message);
      const file = mustFind(world.files.find(address), `file ${address}`);
      return decryptFile(file.bytes, mediaKey, kind);
    },
    expire: (message, status) => world.files.expire(mediaPartOf(message).address, status),
    sendHistory: (device, chunk) => sendHistory(world, device, chunk),
    receipt: (device, { chat, ...receipt }) =>
      sendReceipt(world, device, { ...receipt, chat: chat ?? receipt.person.jid }),
    readOnPhone: (who, ids) => readOnPhone(world, who, ids),
    type: (who, state) => type(world, who, state),
    appear: (who, isOnline, lastSeconds) => appear(world, who, isOnline, lastSeconds),
    call: (who, how) => call(world, who, how),
    breakOff: (device, how) => {
      const connection = world.connections.find(device);
      breakOff(mustFind(connection, `connected device ${device.jid}`), { ...how, when: 'open' });
    },
  };
}

function contentOf(said: Said): proto.IMessage {
  return typeof said === 'string' ? { conversation: said } : said;
}
