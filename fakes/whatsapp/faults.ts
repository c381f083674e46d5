import { z } from 'zod';

/**
 * What goes wrong, and where:
 * - at the upgrade to a WebSocket, before anybody knows who comes: `upgrade-status`, `upgrade-silence`;
 * - in the handshake: `handshake-silence`;
 * - at a login, in place of success or, with `when: 'open'`, right after it: `failure`, `stream-error`, `downgrade`,
 *   `xmlstreamend`, `reset`, `silence`;
 * - in the replay of what waited: `withhold-offline` (no marker at the end), `reorder`, `duplicate` (of everything, also live);
 * - at a message that a device sends: `ack-drop`, `ack-delay`, `ack-error` (then nobody gets it);
 * - at a query: `query-silence`, `query-error`;
 * - at files: `upload-status`, `download-status`.
 */
const when = z.enum(['login', 'open']).default('login');
const status = z.number().int().min(400).max(599);
const FATAL = [
  /** Without a reason Baileys reads 500. */
  z.strictObject({ kind: z.literal('failure'), reason: z.number().int().optional(), when }),
  /** By code (515, 503, 401 ...), by conflict (`replaced`, `device_removed`), by both, or with nothing known. */
  z.strictObject({
    kind: z.literal('stream-error'),
    code: z.number().int().optional(),
    conflict: z.enum(['replaced', 'device_removed']).optional(),
    when,
  }),
  z.strictObject({ kind: z.literal('downgrade'), when }),
  z.strictObject({ kind: z.literal('xmlstreamend'), when }),
  z.strictObject({ kind: z.literal('reset'), when }),
  /** The connection stays, and nothing is said any more. */
  z.strictObject({ kind: z.literal('silence'), when }),
] as const;
export const fatalInput = z.discriminatedUnion('kind', FATAL);
export type Fatal = z.output<typeof fatalInput>;
export type FatalInput = z.input<typeof fatalInput>;

const faultAction = z.discriminatedUnion('kind', [
  ...FATAL,
  z.strictObject({ kind: z.literal('upgrade-status'), status }),
  z.strictObject({ kind: z.literal('upgrade-silence') }),
  z.strictObject({ kind: z.literal('handshake-silence') }),
  z.strictObject({ kind: z.literal('withhold-offline') }),
  z.strictObject({ kind: z.literal('reorder') }),
  z.strictObject({ kind: z.literal('duplicate') }),
  z.strictObject({ kind: z.literal('ack-drop') }),
  z.strictObject({ kind: z.literal('ack-delay'), ms: z.number().min(0) }),
  z.strictObject({ kind: z.literal('ack-error'), error: z.number().int() }),
  z.strictObject({ kind: z.literal('query-silence'), xmlns: z.string().optional() }),
  z.strictObject({
    kind: z.literal('query-error'),
    xmlns: z.string().optional(),
    code: z.number().int(),
  }),
  z.strictObject({ kind: z.literal('upload-status'), status }),
  z.strictObject({ kind: z.literal('download-status'), status }),
]);

export const faultInput = z.strictObject({
  /** `51999000001:3@s.whatsapp.net`; without one every device, and what comes before a device is known. */
  device: z.string().optional(),
  /** So many times; without it until it is taken back. */
  times: z.number().int().positive().optional(),
  /** After so many that are left alone. */
  skip: z.number().int().min(0).default(0),
  does: faultAction,
});

export type FaultInput = z.input<typeof faultInput>;
export type FaultAction = z.output<typeof faultAction>;
export type FaultKind = FaultAction['kind'];
export type FaultOf<Kind extends FaultKind> = Extract<FaultAction, { kind: Kind }>;
export type Fault = z.output<typeof faultInput> & { readonly id: number; hits: number };

const FAULTS_MAX = 1_000;

export class Faults {
  #faults: { readonly fault: Fault; skipped: number }[] = [];
  #lastId = 0;

  /** @throws ZodError when it is none. */
  add(input: FaultInput): Fault {
    const fault: Fault = { ...faultInput.parse(input), id: (this.#lastId += 1), hits: 0 };
    this.#faults.push({ fault, skipped: 0 });
    if (this.#faults.length > FAULTS_MAX) this.#faults.shift();
    return fault;
  }

  list(): Fault[] {
    return this.#faults.map(({ fault }) => fault);
  }

  /** False when it is not there, or over. */
  remove(id: number): boolean {
    const before = this.#faults.length;
    this.#faults = this.#faults.filter(({ fault }) => fault.id !== id);
    return this.#faults.length < before;
  }

  clear(): void {
    this.#faults = [];
  }

  /** The first that fits here, counted; undefined when nothing goes wrong. */
  strike<Kind extends FaultKind>(
    kinds: readonly Kind[],
    at: { device?: string | undefined; fits?: (does: FaultOf<Kind>) => boolean } = {},
  ): FaultOf<Kind> | undefined {
    for (const each of this.#faults) {
      const { fault } = each;
      const does = fault.does as FaultOf<Kind>;
      if (!kinds.includes(does.kind as Kind)) continue;
      if (fault.device !== undefined && fault.device !== at.device) continue;
      if (at.fits && !at.fits(does)) continue;
      if (each.skipped < fault.skip) {
        each.skipped += 1;
        continue;
      }
      fault.hits += 1;
      if (fault.times !== undefined && fault.hits >= fault.times) this.remove(fault.id);
      return does;
    }
    return undefined;
  }
}
