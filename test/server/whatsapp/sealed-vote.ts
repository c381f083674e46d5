import { createHash, randomBytes } from 'node:crypto';
import { aesEncryptGCM, hmacSign, proto } from '@whiskeysockets/baileys';

type Vote = {
  readonly pollId: string;
  readonly secret: Uint8Array;
  /** Under which address the voter's phone knows who made the poll, and itself. */
  readonly creator: string;
  readonly voter: string;
  readonly options: readonly string[];
};

/** A vote as a phone seals it: with a key made of the poll's secret, its stanza and both addresses. */
export function sealVote({
  pollId,
  secret,
  creator,
  voter,
  options,
}: Vote): proto.Message.IPollEncValue {
  const sign = Buffer.concat([
    Buffer.from(`${pollId}${creator}${voter}Poll Vote`),
    Uint8Array.of(1),
  ]);
  const key = hmacSign(sign, hmacSign(secret, new Uint8Array(32), 'sha256'), 'sha256');
  const encIv = randomBytes(12);
  const selectedOptions = options.map((name) => createHash('sha256').update(name).digest());
  const plain = proto.Message.PollVoteMessage.encode({ selectedOptions }).finish();
  const aad = Buffer.from(`${pollId}\u0000${voter}`);
  return { encIv, encPayload: aesEncryptGCM(plain, key, encIv, aad) };
}
