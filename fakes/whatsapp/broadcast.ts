import { proto } from '@whiskeysockets/baileys';
import { deliver } from './delivery.ts';
import type { Person } from './person.ts';
import type { World } from './world.ts';
import { encNode, encryptFor, messageAttrs, newMessageId, type Written } from './write.ts';

/** Somebody's status update: to everybody who has him in the address book. */
export async function writeStatus(
  world: World,
  who: { from: Person; to: Person },
  content: proto.IMessage,
): Promise<Written> {
  const id = newMessageId();
  const attrs = {
    from: 'status@broadcast',
    participant: who.from.jid,
    ...messageAttrs(content, id, {}),
    notify: who.from.name,
  };
  await Promise.all(
    who.to.linked().map((device) =>
      device.inOrder(async () => {
        const enc = encNode(await encryptFor(who.from, device, content));
        deliver(world, device, {
          node: { tag: 'message', attrs, content: [enc] },
          class: 'message',
        });
      }),
    ),
  );
  return { id };
}

/** A channel's post: nothing of it is encrypted. */
export function writeNewsletter(
  world: World,
  to: Person,
  { channel, text }: { channel: string; text: string },
): Written {
  const id = newMessageId();
  const content: proto.IMessage = { conversation: text };
  const attrs = {
    from: `${channel}@newsletter`,
    server_id: '1',
    ...messageAttrs(content, id, {}),
  };
  const plain = proto.Message.encode(content).finish();
  for (const device of to.linked()) {
    const node = {
      tag: 'message',
      attrs,
      content: [{ tag: 'plaintext', attrs: {}, content: plain }],
    };
    deliver(world, device, { node, class: 'message' });
  }
  return { id };
}
