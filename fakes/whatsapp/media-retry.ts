import { randomBytes } from 'node:crypto';
import {
  aesEncryptGCM,
  getBinaryNodeChild,
  hkdf,
  proto,
  type BinaryNode,
} from '@whiskeysockets/baileys';
import { deliver } from './delivery.ts';
import type { LinkedDevice } from './linked-device.ts';
import { mediaPartOf } from './media-content.ts';
import type { World } from './world.ts';

const { ResultType } = proto.MediaRetryNotification;
const RESULTS = {
  success: ResultType.SUCCESS,
  'general-error': ResultType.GENERAL_ERROR,
  'not-found': ResultType.NOT_FOUND,
  'decryption-error': ResultType.DECRYPTION_ERROR,
} as const;
export type MediaRetryAnswer = keyof typeof RESULTS | 'silence';

/**
 * A device asks the phone for a file that the storage has no more (`<receipt type="server-error">`). The phone uploads it
 * again, and tells where, encrypted with a key made of the file's own.
 */
export function answerMediaRetry(world: World, device: LinkedDevice, node: BinaryNode): void {
  const { mediaRetry } = world.settings;
  if (mediaRetry === 'silence') return;
  const { id = '' } = node.attrs;
  const rmr = getBinaryNodeChild(node, 'rmr');
  const content = world.written(id)?.content;
  if (!rmr || !content) return notify(world, device, { id, rmr, error: RESULTS['not-found'] });
  const part = mediaPartOf(content);
  const file = world.files.find(part.address);
  const result = file ? RESULTS[mediaRetry] : RESULTS['not-found'];
  const isAgain = result === RESULTS.success && file !== undefined;
  const directPath = isAgain ? world.files.put(file.bytes).path : undefined;
  const plain = proto.MediaRetryNotification.encode({
    stanzaId: id,
    result,
    ...(directPath !== undefined && { directPath }),
  }).finish();
  const iv = randomBytes(12);
  const key = hkdf(Buffer.from(part.mediaKey), 32, { info: 'WhatsApp Media Retry Notification' });
  const cipher = aesEncryptGCM(plain, Buffer.from(key), iv, Buffer.from(id));
  notify(world, device, { id, rmr, cipher, iv });
}

type Told = { id: string; rmr: BinaryNode | undefined } & (
  | { error: number }
  | { cipher: Buffer; iv: Buffer }
);

function notify(world: World, device: LinkedDevice, told: Told): void {
  const about: BinaryNode =
    'error' in told
      ? { tag: 'error', attrs: { code: String(told.error) } }
      : {
          tag: 'encrypt',
          attrs: {},
          content: [
            { tag: 'enc_p', attrs: {}, content: told.cipher },
            { tag: 'enc_iv', attrs: {}, content: told.iv },
          ],
        };
  const rmr = told.rmr ?? { tag: 'rmr', attrs: { jid: device.owner.phoneJid, from_me: 'false' } };
  const attrs = {
    from: device.owner.phoneJid,
    id: told.id,
    type: 'mediaretry',
    t: String(Math.floor(Date.now() / 1_000)),
  };
  const node = { tag: 'notification', attrs, content: [about, rmr] };
  deliver(world, device, { node, class: 'notification' });
}
