import type { AccountCommit } from '../../domain/change.ts';
import { formatCursor } from '../../domain/cursor.ts';
import type { ServerMessage } from '../../domain/feed-protocol.ts';
import { cutIntoParts } from '../../platform/cache/log-entry.ts';

/**
 * Frames as bytes. Rows are already JSON text: a frame is put together from texts and nothing is parsed or printed
 * again. Encoded once, the same bytes go to every socket of a topic.
 */

type CommitFrames = {
  readonly commit: AccountCommit;
  readonly epoch: string;
  /** The subscription's id, as its client chose it. */
  readonly id: string;
  /** What the audience sees of it, in order; not empty. */
  readonly changes: readonly { readonly json: string }[];
};

/** One frame per part, in order; the last one says so. */
export function encodeCommitFrames({ commit, epoch, id, changes }: CommitFrames): Buffer[] {
  const cursor = formatCursor({ epoch, lsn: commit.lsn });
  const origin = commit.origin === undefined ? '' : `,"origin":${commit.origin}`;
  const head =
    `{"type":"commit","ids":[${JSON.stringify(id)}],"cursor":"${cursor}","at":${JSON.stringify(commit.at)},` +
    `"xid":${commit.xid}${origin}`;
  const parts = cutIntoParts(changes);
  return parts.map((part, index) => {
    const texts = part.map((change) => change.json).join(',');
    return Buffer.from(
      `${head},"part":${index},"last":${index === parts.length - 1},"changes":[${texts}]}`,
    );
  });
}

export function encodeMessage(message: ServerMessage): Buffer {
  return Buffer.from(JSON.stringify(message));
}

/** UTF-16 units of what would be sent: enough to decide before anything is encoded. */
export function measureChanges(changes: readonly { readonly json: string }[]): number {
  let size = 0;
  for (const change of changes) size += change.json.length;
  return size;
}
