import { createHash, randomBytes } from 'node:crypto';
import { globalAgent } from 'node:https';
import { onTestFinished } from 'vitest';
import type { OutboxWorld, Stage } from './whatsapp-outbox-world.ts';

export const MIB = 1024 * 1024;
/** By its first bytes. */
export const JPEG = Buffer.concat([Buffer.from('ffd8ffe000104a464946', 'hex'), randomBytes(5_000)]);

/** In which uploads of this process trust the fake's certificate, as those of a process do by NODE_EXTRA_CA_CERTS. */
export async function startMediaStage(world: OutboxWorld): Promise<Stage> {
  const stage = await world.stage();
  globalAgent.options.ca = stage.fake.certificate;
  onTestFinished(() => void delete globalAgent.options.ca);
  return stage;
}

export function hex(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
