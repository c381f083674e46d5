import type { WASocket } from '@whiskeysockets/baileys';
import {
  buildMergedTcTokenIndexWrite,
  resolveTcTokenJid,
} from '@whiskeysockets/baileys/lib/Utils/tc-token-utils.js';
import type { PrivacyToken } from '../../whatsapp/map-history.ts';

type Socket = Pick<WASocket, 'authState' | 'signalRepository'>;

/**
 * Tokens without which WhatsApp refuses messages to people we talked with before. Baileys keeps them with history that it
 * reads itself; this is history that we read. Under the LID where that is known; an older one never replaces a newer one.
 */
export async function keepPrivacyTokens(
  { authState, signalRepository }: Socket,
  tokens: readonly PrivacyToken[],
): Promise<void> {
  if (tokens.length === 0) return;
  const { keys } = authState;
  const lidOf = (jid: string): Promise<string | null> =>
    signalRepository.lidMapping.getLIDForPN(jid);
  const wanted: { id: string; token: PrivacyToken }[] = [];
  for (const token of tokens) wanted.push({ id: await resolveTcTokenJid(token.jid, lidOf), token });
  const known = await keys.get(
    'tctoken',
    wanted.map(({ id }) => id),
  );
  const newer = wanted.filter(
    ({ id, token }) => Number(known[id]?.timestamp ?? 0) < token.timestamp,
  );
  if (newer.length === 0) return;
  const entries = newer.map(({ id, token: { token, timestamp, senderTimestamp } }) => {
    const entry = { ...known[id], token: Buffer.from(token), timestamp: String(timestamp) };
    return [id, senderTimestamp === undefined ? entry : { ...entry, senderTimestamp }] as const;
  });
  const index = await buildMergedTcTokenIndexWrite(
    keys,
    newer.map(({ id }) => id),
  );
  await keys.set({ tctoken: { ...Object.fromEntries(entries), ...index } });
}
