import type { BinaryNode, proto } from '@whiskeysockets/baileys';
import { deliver } from './delivery.ts';
import type { Person } from './person.ts';
import type { World } from './world.ts';
import { WorldError } from './world-error.ts';
import {
  encNode,
  encryptFor,
  messageAttrs,
  newMessageId,
  rewriting,
  type Attrs,
  type WriteOptions,
  type Written,
} from './write.ts';

/** People who read each other: by LID, as groups of today, or by phone. */
export type Group = {
  /** `120363000000000001@g.us`. */
  readonly jid: string;
  subject: string;
  readonly isByLid: boolean;
  readonly createdSeconds: number;
  /** The first one made it, and is its administrator. */
  readonly members: Person[];
  /** Of each writer, the devices that have his key for the group. */
  readonly keysKnownBy: Map<Person, Set<string>>;
};

export type GroupInput = {
  readonly subject: string;
  readonly members: readonly Person[];
  readonly isByLid?: boolean | undefined;
};

const GROUPS_MAX = 10_000;

export function makeGroup(world: World, { subject, members, isByLid = true }: GroupInput): Group {
  if (world.groups.size >= GROUPS_MAX) throw new WorldError('there are too many groups');
  const group: Group = {
    jid: `1203630000${String(world.groups.size + 1).padStart(8, '0')}@g.us`,
    subject,
    isByLid,
    createdSeconds: Math.floor(Date.now() / 1_000),
    members: [...members],
    keysKnownBy: new Map(),
  };
  world.groups.set(group.jid, group);
  return group;
}

/**
 * Somebody writes in a group: one ciphertext for all, by his own key, which devices that do not have it yet get beside it,
 * each for itself.
 */
export async function writeInGroup(
  world: World,
  who: { from: Person; group: Group },
  content: proto.IMessage,
  options: WriteOptions = {},
): Promise<Written> {
  const { from, group } = who;
  if (!group.members.includes(from)) throw new WorldError(`${from.name} is not in the group`);
  const id = options.id ?? newMessageId();
  world.noteWritten(id, { from, content });
  const ownJid = group.isByLid ? from.lidJid : from.phoneJid;
  const attrs: Attrs = {
    from: group.jid,
    participant: ownJid,
    ...(group.isByLid ? { participant_pn: from.phoneJid } : { participant_lid: from.lidJid }),
    addressing_mode: group.isByLid ? 'lid' : 'pn',
    ...messageAttrs(content, id, options),
    notify: from.name,
  };
  const known = group.keysKnownBy.get(from) ?? new Set();
  group.keysKnownBy.set(from, known);
  const written = from.inOrder(async () => {
    const { ciphertext, distribution } = await from.signal.encryptForGroup(
      group.jid,
      ownJid,
      content,
    );
    const inGroup: BinaryNode = {
      tag: 'enc',
      attrs: { v: '2', type: 'skmsg' },
      content: ciphertext,
    };
    const devices = group.members.flatMap((member) => member.linked());
    await Promise.all(
      devices.map((device) =>
        device.inOrder(async () => {
          const parts = [inGroup];
          if (!known.has(device.jid)) {
            known.add(device.jid);
            parts.unshift(encNode(await encryptFor(from, device, distribution)));
          }
          const both = { ...content, ...distribution };
          const rewrite = rewriting({ writer: from, device, content: both, attrs });
          const node = { tag: 'message', attrs, content: parts };
          deliver(world, device, { node, class: 'message', rewrite });
        }),
      ),
    );
  });
  await written;
  return { id };
}

/** What a member's device is told about its groups. */
export function answerAboutGroups(
  world: World,
  asker: Person,
  { to = '', child }: { to: string | undefined; child: BinaryNode },
): BinaryNode[] | { error: number } {
  if (child.tag === 'participating') {
    const own = [...world.groups.values()].filter(({ members }) => members.includes(asker));
    return [{ tag: 'groups', attrs: {}, content: own.map(groupNode) }];
  }
  const group = world.groups.get(to);
  if (!group) return { error: 404 };
  if (!group.members.includes(asker)) return { error: 403 };
  return child.tag === 'query' ? [groupNode(group)] : [];
}

function groupNode({ jid, subject, isByLid, createdSeconds, members }: Group): BinaryNode {
  const jidOf = (person: Person): string => (isByLid ? person.lidJid : person.phoneJid);
  const [creator] = members;
  const owner = creator ? jidOf(creator) : '';
  return {
    tag: 'group',
    attrs: {
      id: jid.replace('@g.us', ''),
      subject,
      s_t: String(createdSeconds),
      s_o: owner,
      creation: String(createdSeconds),
      creator: owner,
      size: String(members.length),
      addressing_mode: isByLid ? 'lid' : 'pn',
    },
    content: members.map((member, index) => ({
      tag: 'participant',
      attrs: {
        jid: jidOf(member),
        ...(isByLid ? { phone_number: member.phoneJid } : { lid: member.lidJid }),
        ...(index === 0 && { type: 'admin' }),
      },
    })),
  };
}
