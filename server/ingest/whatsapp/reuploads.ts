import {
  decryptMediaRetryData,
  encryptMediaRetryRequest,
  proto,
  type BaileysEventMap,
  type WAMessageKey,
} from '@whiskeysockets/baileys';
import { DOWNLOAD_REFUSALS, DownloadRefusal } from '../../whatsapp/judge-download.ts';
import type { Linked } from './device-context.ts';
import { untilAborted } from './until-aborted.ts';

type Update = BaileysEventMap['messages.media-update'][number];

/** A phone that is off does not answer; it is asked again another time. */
const ANSWER_MS = 60_000;
const EVENT = 'messages.media-update';

/**
 * Asks the phone to bring files back that WhatsApp does not have any more. Not by Baileys' `updateMediaMessage`, which
 * waits for ever, and for each question that has no answer listens for as long as the socket lives.
 */
export class Reuploads {
  readonly #linked: Linked;
  /** By stanza id. */
  readonly #awaited = new Map<string, (update: Update) => void>();
  readonly #hear = (updates: readonly Update[]): void => {
    for (const update of updates) this.#awaited.get(update.key.id ?? '')?.(update);
  };

  constructor(linked: Linked) {
    this.#linked = linked;
    linked.socket.ev.on(EVENT, this.#hear);
  }

  /** Gives the path at WhatsApp where it is now. @throws DownloadRefusal when the phone has it no more; Error. */
  async ask(key: WAMessageKey, mediaKey: Uint8Array, signal: AbortSignal): Promise<string> {
    const id = key.id ?? '';
    const { socket, me } = this.#linked;
    const answer = new Promise<Update>((resolve) => this.#awaited.set(id, resolve));
    try {
      const asked = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
      await socket.sendNode(encryptMediaRetryRequest(key, Buffer.from(mediaKey), me.jid));
      return pathOf(await untilAborted(answer, asked), mediaKey);
    } finally {
      this.#awaited.delete(id);
    }
  }

  stop(): void {
    this.#linked.socket.ev.off(EVENT, this.#hear);
  }
}

function pathOf({ key, media, error }: Update, mediaKey: Uint8Array): string {
  if (error || !media) throw error ?? new Error('the phone said nothing of the file');
  const { SUCCESS, NOT_FOUND } = proto.MediaRetryNotification.ResultType;
  const { result, directPath } = decryptMediaRetryData(media, mediaKey, key.id ?? '');
  if (result === SUCCESS && directPath) return directPath;
  if (result === NOT_FOUND) throw new DownloadRefusal(DOWNLOAD_REFUSALS.not_on_phone);
  throw new Error(`the phone could not bring the file back (${result})`);
}
