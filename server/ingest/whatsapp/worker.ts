import { DEVICE_STATUSES } from '../../../domain/device-status.ts';
import type { Running } from '../../../platform/lifecycle.ts';
import {
  parseWhatsappNote,
  WHATSAPP_CHANNEL,
  type WhatsappNote,
} from '../../../platform/whatsapp-notes.ts';
import type { Lease } from '../../commands/lease-work.ts';
import { beatDevicePulses } from '../../commands/set-device-status.ts';
import { readWaitingWork } from '../../commands/waiting-work.ts';
import { createBell, type Bell } from '../bell.ts';
import type { LeaseKind } from '../leases.ts';
import { listenTo } from '../listen.ts';
import { deviceOf, readDevices, wantedDevices, type DeviceView } from './connections.ts';
import { Device } from './device.ts';
import type { DeviceMeans } from './device-means.ts';

type Means = DeviceMeans & { readonly databaseUrl: string };

/** Between two looks at all devices of this worker, by one statement: what the notes did not say. */
const LOOK_MS = 5_000;
/** The same for what there is to do: messages that wait, files, reads. */
const WORK_MS = 2_000;
const KINDS = ['outbox', 'downloads', 'reads', 'inbox'] as const;
/** `connected` is believed for a minute after a frame. */
const PULSE_MS = 20_000;

/** A lease, and the device once it was looked at. */
type Held = { readonly lease: Lease; readonly onLost: () => void; device: Device | undefined };

/**
 * The devices whose lease this worker has. What the API says wakes the one it is about; what it said while nobody heard
 * is found by looking.
 */
export class WhatsappWorker implements Running {
  readonly kind: LeaseKind;
  readonly #means: Means;
  readonly #held = new Map<number, Held>();
  readonly #stopping = new AbortController();
  readonly #looking: Bell;
  /** Devices that something was said of since the last look. */
  readonly #told = new Set<number>();
  #listening: Running | undefined;
  #done: Promise<unknown> = Promise.resolve();

  constructor(means: Means) {
    this.#means = means;
    this.#looking = createBell(means.clock);
    this.kind = {
      name: 'whatsapp',
      wanted: wantedDevices,
      start: (lease, onLost) => {
        const held: Held = { lease, onLost, device: undefined };
        const deviceId = deviceOf(lease.resource);
        this.#held.set(deviceId, held);
        this.#looking.ring();
        return { stop: () => this.#end(deviceId, held) };
      },
    };
  }

  /** `wakeLeases`: there may be a device that nobody has. */
  start(wakeLeases: () => void): this {
    const { databaseUrl, clock, log } = this.#means;
    this.#listening = listenTo({
      databaseUrl,
      channel: WHATSAPP_CHANNEL,
      parse: parseWhatsappNote,
      clock,
      log,
      onNote: (note) => this.#hear(note, wakeLeases),
      onListening: () => this.#looking.ring(),
    });
    this.#done = Promise.all([
      this.#rounds('WhatsApp devices could not be looked at', async (signal) => {
        await this.#look();
        await this.#looking.wait(LOOK_MS, signal);
      }),
      this.#rounds('what WhatsApp devices have to do could not be looked for', async (signal) => {
        await this.#ring();
        await clock.sleep(WORK_MS, signal);
      }),
      this.#rounds('the pulses of WhatsApp devices were not written', async (signal) => {
        await this.#beat();
        await clock.sleep(PULSE_MS, signal);
      }),
    ]);
    return this;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([this.#listening?.stop(), this.#done]);
  }

  async #end(deviceId: number, held: Held): Promise<void> {
    if (this.#held.get(deviceId) === held) this.#held.delete(deviceId);
    await held.device?.stop();
  }

  #hear(note: WhatsappNote, wakeLeases: () => void): void {
    if (note.kind === 'version') return this.#means.breaker.wake();
    if (note.kind === 'outbox') return this.#held.get(note.deviceId)?.device?.ring('outbox');
    this.#told.add(note.deviceId);
    this.#looking.ring();
    // Wanted, or no longer: who has what changes.
    wakeLeases();
  }

  /** For as long as the process lives: what a round throws is logged, and the next one comes after a while. */
  async #rounds(says: string, round: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    const { clock, log } = this.#means;
    while (!signal.aborted) {
      try {
        await round(signal);
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ error }, says);
        await clock.sleep(LOOK_MS, signal).catch(() => undefined);
      }
    }
  }

  async #look(): Promise<void> {
    const { database, clock } = this.#means;
    const told = new Set(this.#told);
    this.#told.clear();
    const askedAt = clock.elapsed();
    const asked = [...this.#held.keys()];
    const views = await readDevices(database, asked);
    for (const view of views) this.#show(view, askedAt, told.has(view.deviceId));
    // Deleted: its lease is as good as gone.
    const seen = new Set(views.map(({ deviceId }) => deviceId));
    for (const id of asked) if (!seen.has(id)) this.#held.get(id)?.onLost();
    this.#measure();
  }

  #show(view: DeviceView, askedAt: number, isTold: boolean): void {
    const held = this.#held.get(view.deviceId);
    if (!held) return;
    if (held.device) return held.device.refresh(view, askedAt, isTold);
    const { lease, onLost } = held;
    held.device = new Device(this.#means, { lease, view, onLost }).start();
  }

  async #ring(): Promise<void> {
    const waiting = await readWaitingWork(this.#means.database, [...this.#held.keys()]);
    for (const work of waiting)
      for (const kind of KINDS) if (work[kind]) this.#held.get(work.deviceId)?.device?.ring(kind);
  }

  /** By one statement for all, and of what really came. */
  async #beat(): Promise<void> {
    const pulses = [...this.#held.values()].flatMap(({ device }) => {
      const ageMs = device?.frameAgeMs;
      if (!device || ageMs === undefined) return [];
      return [{ accountId: device.accountId, deviceId: device.deviceId, ageMs }];
    });
    await beatDevicePulses(this.#means.database, pulses);
  }

  #measure(): void {
    const { whatsappDevices } = this.#means.metrics;
    for (const status of DEVICE_STATUSES) whatsappDevices.set({ status }, 0);
    for (const { device } of this.#held.values())
      if (device?.state) whatsappDevices.inc({ status: device.state.status });
  }
}
