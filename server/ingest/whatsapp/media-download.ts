import { proto } from '@whiskeysockets/baileys';
import type { Readable } from 'node:stream';
import type { Running } from '../../../platform/lifecycle.ts';
import { peekHead } from '../../../platform/media/peek.ts';
import { SNIFF_BYTES, sniffContentType } from '../../../platform/media/sniff.ts';
import {
  claimDownloads,
  recoverDownloads,
  type ClaimedDownload,
} from '../../commands/claim-downloads.ts';
import { downloadPlace } from '../../commands/queue-download.ts';
import { delayDownload, failDownload, storeDownload } from '../../commands/settle-download.ts';
import { FileGone, fetchFile } from '../../whatsapp/fetch-file.ts';
import { fetchableOf, fileAddress, type FetchableFile } from '../../whatsapp/file-address.ts';
import {
  DOWNLOAD_REFUSALS,
  DownloadRefusal,
  judgeDownload,
} from '../../whatsapp/judge-download.ts';
import { LeaseLost } from '../write-in-lease.ts';
import { write, type DeviceContext, type Linked } from './device-context.ts';
import { LOOK_MS, startRingLoop } from './ring-loop.ts';
import { Reuploads } from './reuploads.ts';

/**
 * Fetches the files that came with messages, for as long as one socket of the device is logged in (the phone is asked by
 * it for what WhatsApp has no more). A file is claimed, decrypted while it comes, stored, and its row says so; whatever
 * ends it in between, it is claimed again and stored under the same key.
 *
 * Two files with the same bytes are stored twice: each row has an object of its own, which goes with it.
 */
export type DownloadOptions = {
  /** Larger ones are not fetched. */
  readonly bytesMax: number;
  /** Of all stored files of an account; undefined: no limit. */
  readonly accountBytesMax?: number | undefined;
  /** Of a fake WhatsApp, on this machine, files are fetched from here. */
  readonly isFake: boolean;
};

/** Of one device at the same time. */
const FETCHED_MAX = 3;
const FAULT = { minMs: 1_000, maxMs: 30_000 };

export function startDownloads(
  context: DeviceContext,
  linked: Linked,
  options: DownloadOptions,
): Running & { ring(): void } {
  return new Downloads(context, linked, options);
}

class Downloads implements Running {
  readonly #context: DeviceContext;
  readonly #options: DownloadOptions;
  readonly #stopping = new AbortController();
  readonly #signal: AbortSignal;
  readonly #reuploads: Reuploads;
  /** By the file's id. */
  readonly #fetching = new Map<number, Promise<void>>();
  readonly #loop;
  #isRecovered = false;

  constructor(context: DeviceContext, linked: Linked, options: DownloadOptions) {
    this.#context = context;
    this.#options = options;
    this.#signal = AbortSignal.any([this.#stopping.signal, linked.signal, context.signal]);
    this.#reuploads = new Reuploads(linked);
    this.#loop = startRingLoop({
      context,
      signal: this.#signal,
      says: 'files to fetch could not be looked for',
      fault: FAULT,
      round: () => this.#round(),
    });
  }

  ring(): void {
    this.#loop.ring();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#reuploads.stop();
    await this.#loop.stop();
    await Promise.all(this.#fetching.values());
  }

  async #round(): Promise<number> {
    if (!this.#isRecovered) await write(this.#context, (tx) => recoverDownloads(tx, this.#context));
    this.#isRecovered = true;
    await this.#claim();
    return LOOK_MS;
  }

  async #claim(): Promise<void> {
    const max = FETCHED_MAX - this.#fetching.size;
    if (max <= 0) return;
    const { accountId, deviceId } = this.#context;
    const claimed = await write(this.#context, (tx) =>
      claimDownloads(tx, {
        accountId,
        deviceId,
        max,
        busy: [...this.#fetching.keys()],
        isCounted: this.#options.accountBytesMax !== undefined,
      }),
    );
    for (const download of claimed) this.#fetching.set(download.mediaId, this.#fetch(download));
  }

  /** Never throws. */
  async #fetch(download: ClaimedDownload): Promise<void> {
    const { log } = this.#context;
    try {
      await this.#store(download).catch((error: unknown) => this.#fail(download, error));
    } catch (error) {
      // Its claim ends by itself.
      const isOver = this.#signal.aborted || error instanceof LeaseLost;
      if (!isOver) log.warn({ error }, 'what became of a file could not be written');
    } finally {
      this.#fetching.delete(download.mediaId);
      this.#loop.ring();
    }
  }

  async #store(download: ClaimedDownload): Promise<void> {
    const { accountId, box, media } = this.#context;
    const { bytesMax, accountBytesMax = Infinity } = this.#options;
    const { mediaId, objectKey, size, accountBytes = 0 } = download;
    if (size > bytesMax) throw new DownloadRefusal(DOWNLOAD_REFUSALS.too_large);
    if (accountBytes + size > accountBytesMax)
      throw new DownloadRefusal(DOWNLOAD_REFUSALS.over_quota);
    const info = proto.WebMessageInfo.decode(
      box.openBytes(download.message, downloadPlace(mediaId)),
    );
    const { head, stream } = await peekHead(await this.#open(info), SNIFF_BYTES);
    const mimetype = sniffContentType(head, download.mimetype);
    const put = { bytesMax, contentType: mimetype, signal: this.#signal };
    const stored = await media.put(objectKey, stream, put);
    const isWanted = await write(this.#context, (tx) =>
      storeDownload(tx, { accountId, mediaId, mimetype, ...stored }),
    );
    if (!isWanted) await media.delete(objectKey);
  }

  /** The file as it was, from WhatsApp or, when it is not there any more, after the phone brought it back. */
  async #open(info: proto.WebMessageInfo): Promise<Readable> {
    const file = fetchableOf(info.message);
    if (!file) throw new DownloadRefusal(DOWNLOAD_REFUSALS.no_place);
    try {
      return await this.#fetchFrom(file);
    } catch (error) {
      if (!(error instanceof FileGone) || !info.key) throw error;
      const directPath = await this.#reuploads.ask(info.key, file.mediaKey, this.#signal);
      return this.#fetchFrom({ ...file, directPath });
    }
  }

  async #fetchFrom(file: FetchableFile): Promise<Readable> {
    const address = fileAddress(file, this.#options);
    if (!address) throw new DownloadRefusal(DOWNLOAD_REFUSALS.no_place);
    return fetchFile(address, file, this.#signal);
  }

  async #fail({ mediaId, attempts, ageMs }: ClaimedDownload, error: unknown): Promise<void> {
    if (this.#signal.aborted) return;
    const { accountId, clock, log } = this.#context;
    const verdict = judgeDownload(error, { attempts, ageMs, random: () => clock.random() });
    log.info({ error, verdict: verdict.kind }, 'a file was not fetched');
    await write(this.#context, (tx) =>
      verdict.kind === 'failed'
        ? failDownload(tx, { accountId, mediaId, reason: verdict.reason })
        : delayDownload(tx, {
            accountId,
            mediaId,
            delayMs: verdict.delayMs,
            error: error instanceof Error ? error.message : String(error),
          }),
    );
  }
}
