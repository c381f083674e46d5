import { parseCursor } from '../../domain/cursor.ts';
import type { SoakClient } from './client.ts';
import type { Fault, Resync } from './faults/fault.ts';
import type { Tally } from './tally.ts';

/** What each client had been told of its past before something was broken. */
export type Pasts = ReadonlyMap<SoakClient, { readonly epoch: string; readonly ended: number }>;

/** Of those that have one: who is reading his first snapshot has no past to lose. */
export function notePasts(clients: readonly SoakClient[]): Pasts {
  return new Map(
    clients.flatMap((client) => {
      const epoch = epochOf(client);
      return epoch === undefined ? [] : [[client, { epoch, ended: client.epochsEnded }] as const];
    }),
  );
}

/**
 * Whether the clients' pasts went the way that the faults announce, when all are live again. Those that were thrown away
 * meanwhile are not asked. Answers what did not.
 */
export function judgePasts(
  pasts: Pasts,
  clients: readonly SoakClient[],
  { faults, tally }: { faults: readonly Fault[]; tally: Tally },
): string[] {
  const resync = announced(faults);
  if (resync === 'may') return [];
  const wrong: string[] = [];
  for (const [client, before] of pasts) {
    if (!clients.includes(client)) continue;
    const told = client.epochsEnded - before.ended;
    const isSame = epochOf(client) === before.epoch;
    if (resync === 'never' ? told === 0 && isSame : !isSame) {
      tally.add(resync === 'never' ? 'clients left in peace' : 'clients told');
      continue;
    }
    wrong.push(
      resync === 'never'
        ? `${client.name}: was told ${told} times to read again, epoch ${before.epoch} is ${epochOf(client)}, but no history was lost`
        : `${client.name}: goes on in epoch ${before.epoch}, but history was lost`,
    );
  }
  return wrong;
}

/** Of several at once: one that ends the past ends it for all. */
function announced(faults: readonly Fault[]): Resync {
  if (faults.some(({ resync }) => resync === 'always')) return 'always';
  return faults.every(({ resync }) => resync === 'never') ? 'never' : 'may';
}

function epochOf({ cursor }: SoakClient): string | undefined {
  return cursor === undefined ? undefined : parseCursor(cursor)?.epoch;
}
