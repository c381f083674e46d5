import { PART_BYTES_MAX, type AccountCommit, type EncodedChange } from '../../domain/change.ts';

/**
 * Entries of an account's log: both halves of the format. A commit is one or more parts, each a header line of
 * JSON and, behind it, the JSON texts of its changes one after another, so that a resume sends the very bytes that
 * were sent live and nothing is parsed to be printed again. Lengths are in UTF-16 units.
 */
type ChangeHeader = {
  t: string;
  o: EncodedChange['op'];
  k: string;
  n: EncodedChange['now'];
  w: EncodedChange['was'];
  /** Length of json. */
  l: number;
  /** Length of restrictedJson, absent when there is none. */
  r?: number;
};

type PartHeader = {
  xid: number;
  at: string;
  origin?: string;
  part: number;
  last: boolean;
  changes: ChangeHeader[];
};

/** Cuts a commit into log entries of at most PART_BYTES_MAX; a single larger row stands alone. At least one part. */
export function encodeCommit(commit: AccountCommit): string[] {
  const groups = cutIntoParts(commit.changes);
  return groups.map((changes, part) => {
    const header: PartHeader = {
      xid: commit.xid,
      at: commit.at,
      ...(commit.origin === undefined ? {} : { origin: commit.origin }),
      part,
      last: part === groups.length - 1,
      changes: changes.map(headerOf),
    };
    const bodies = changes.map((change) => change.json + (change.restrictedJson ?? ''));
    return `${JSON.stringify(header)}\n${bodies.join('')}`;
  });
}

function headerOf(change: EncodedChange): ChangeHeader {
  const header: ChangeHeader = {
    t: change.table,
    o: change.op,
    k: change.keyJson,
    n: change.now,
    w: change.was,
    l: change.json.length,
  };
  if (change.restrictedJson !== undefined) header.r = change.restrictedJson.length;
  return header;
}

/** The same cut for log entries and for frames: in order, never an empty group but for an empty commit. */
export function cutIntoParts<T extends { readonly json: string }>(changes: readonly T[]): T[][] {
  const groups: T[][] = [[]];
  let size = 0;
  for (const change of changes) {
    const group = groups[groups.length - 1];
    if (group && group.length > 0 && size + change.json.length > PART_BYTES_MAX) {
      groups.push([change]);
      size = change.json.length;
    } else {
      group?.push(change);
      size += change.json.length;
    }
  }
  return groups;
}

/**
 * Puts the parts of one commit together again, in order.
 * @throws Error when a part is missing or cut: the log is not to be trusted then, and the reader must resync.
 */
export function decodeCommit(
  accountId: number,
  lsn: AccountCommit['lsn'],
  parts: readonly string[],
): AccountCommit {
  const changes: EncodedChange[] = [];
  let first: PartHeader | undefined;
  parts.forEach((text, index) => {
    const end = text.indexOf('\n');
    const header = JSON.parse(text.slice(0, end)) as PartHeader;
    if (header.part !== index || header.last !== (index === parts.length - 1)) {
      throw new Error(`log of account ${accountId}: part ${index} of ${lsn} is missing`);
    }
    first ??= header;
    let at = end + 1;
    for (const entry of header.changes) {
      const json = text.slice(at, at + entry.l);
      at += entry.l;
      const change = {
        table: entry.t,
        op: entry.o,
        keyJson: entry.k,
        now: entry.n,
        was: entry.w,
        json,
      };
      if (entry.r === undefined) changes.push(change);
      else {
        changes.push({ ...change, restrictedJson: text.slice(at, at + entry.r) });
        at += entry.r;
      }
    }
    if (at !== text.length)
      throw new Error(`log of account ${accountId}: part ${index} of ${lsn} is cut`);
  });
  if (!first) throw new Error(`log of account ${accountId}: ${lsn} has no parts`);
  return {
    accountId,
    lsn,
    xid: first.xid,
    at: first.at,
    origin: first.origin,
    changes,
    signals: [],
  };
}
