import type { Person } from './person.ts';
import type { BinaryNode } from '@whiskeysockets/baileys';
import { deliver } from './delivery.ts';
import { addressAttrs } from './write.ts';
import type { World } from './world.ts';

/** Somebody types, records, or stops: to those devices of the account that are there. It is not kept for the others. */
export function type(
  world: World,
  who: { from: Person; to: Person },
  state: 'composing' | 'recording' | 'paused',
): void {
  const child: BinaryNode =
    state === 'recording'
      ? { tag: 'composing', attrs: { media: 'audio' } }
      : { tag: state, attrs: {} };
  tellOnline(world, who.to, { tag: 'chatstate', attrs: { from: who.from.jid }, content: [child] });
}

/** Somebody comes online or goes. `lastSeconds`: since when he has not been seen; hidden without one. */
export function appear(
  world: World,
  who: { from: Person; to: Person },
  isOnline: boolean,
  lastSeconds?: number,
): void {
  const attrs = {
    from: who.from.jid,
    ...(!isOnline && {
      type: 'unavailable',
      last: lastSeconds === undefined ? 'deny' : String(lastSeconds),
    }),
  };
  tellOnline(world, who.to, { tag: 'presence', attrs });
}

function tellOnline(world: World, account: Person, node: BinaryNode): void {
  for (const device of account.linked()) {
    const connection = world.connections.find(device);
    if (connection?.isActive === true) connection.send(node);
  }
}

/** Somebody calls; the call is over as it says. Returns its id. */
export function call(
  world: World,
  who: { from: Person; to: Person },
  how: { ends: 'missed' | 'accepted' | 'rejected'; isVideo?: boolean },
): string {
  const id = world.nextId().toUpperCase();
  const creator = who.from.jid;
  const about = { 'call-id': id, 'call-creator': creator, caller_pn: who.from.phoneJid };
  const offer: BinaryNode[] = how.isVideo === true ? [{ tag: 'video', attrs: {} }] : [];
  const ending = { missed: 'terminate', accepted: 'accept', rejected: 'reject' }[how.ends];
  const endAttrs = how.ends === 'missed' ? { ...about, reason: 'timeout' } : about;
  for (const child of [
    { tag: 'offer', attrs: about, content: offer },
    { tag: ending, attrs: endAttrs },
  ]) {
    for (const device of who.to.linked()) {
      const { from = '' } = addressAttrs(who.from, who.from.addressing);
      const t = String(Math.floor(Date.now() / 1_000));
      const attrs = { from, id: world.nextId(), t };
      deliver(world, device, { node: { tag: 'call', attrs, content: [child] }, class: 'call' });
    }
  }
  return id;
}

/** Read on the own phone: the linked devices are told, so that nothing is unread there. */
export function readOnPhone(
  world: World,
  who: { phone: Person; of: Person },
  ids: readonly string[],
): void {
  const [id, ...more] = ids;
  if (id === undefined) return;
  const isByLid = who.of.addressing.startsWith('lid');
  for (const device of who.phone.linked()) {
    const items = more.map((each) => ({ tag: 'item', attrs: { id: each } }));
    const attrs = {
      id,
      from: isByLid ? who.phone.lidJid : who.phone.phoneJid,
      recipient: who.of.jid,
      type: 'read-self',
      t: String(Math.floor(Date.now() / 1_000)),
    };
    const list = { tag: 'list', attrs: {}, content: items };
    const node = { tag: 'receipt', attrs, ...(items.length > 0 && { content: [list] }) };
    deliver(world, device, { node, class: 'receipt' });
  }
}
