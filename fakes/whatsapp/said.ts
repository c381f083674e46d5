import { randomBytes } from 'node:crypto';
import { proto } from '@whiskeysockets/baileys';
import { z } from 'zod';
import type { Acts } from './acts.ts';
import * as contents from './contents.ts';
import type { Person } from './person.ts';
import type { World } from './world.ts';
import { mustFind, WorldError } from './world-error.ts';

/** What is written, as JSON. */
const id = z.string().min(1);
const target = z.strictObject({
  id,
  /** Whoever writes wrote it too. Default: as far as the fake knows. */
  isOwn: z.boolean().optional(),
});
const media = z.strictObject({
  kind: z.enum(['image', 'video', 'ptv', 'audio', 'voice', 'document', 'sticker']),
  base64: z.string().optional(),
  /** So many bytes of nothing, without `base64`. Default 20000. */
  bytes: z.number().int().min(1).max(64_000_000).default(20_000),
  mimetype: z.string().optional(),
  caption: z.string().optional(),
  fileName: z.string().optional(),
  seconds: z.number().optional(),
  width: z.number().optional(),
  height: z.number().optional(),
  by: z.enum(['http', 'https']).optional(),
});
const what = z.union([
  z.strictObject({ text: z.string() }),
  z.strictObject({ media }),
  z.strictObject({ reply: z.strictObject({ to: id, text: z.string() }) }),
  z.strictObject({ reaction: target.extend({ emoji: z.string() }) }),
  z.strictObject({ edit: target.extend({ text: z.string() }) }),
  z.strictObject({ revoke: target }),
  z.strictObject({
    poll: z.strictObject({
      name: z.string(),
      options: z.array(z.string()).min(1),
      selectable: z.number().int().min(0).optional(),
    }),
  }),
  z.strictObject({
    vote: z.strictObject({
      poll: id,
      options: z.array(z.string()),
      /** The addresses in the key. Default `lid`. */
      by: z.enum(['lid', 'pn']).default('lid'),
    }),
  }),
  z.strictObject({
    location: z.strictObject({
      latitude: z.number(),
      longitude: z.number(),
      name: z.string().optional(),
    }),
  }),
  z.strictObject({ contact: z.strictObject({ name: z.string(), phone: z.string() }) }),
  /** Of `proto.Message`, as its JSON is. */
  z.strictObject({ raw: z.record(z.string(), z.unknown()) }),
]);
export const saidInput = z.strictObject({
  what,
  viewOnce: z.boolean().default(false),
  ephemeral: z.boolean().default(false),
});
export type Said = z.output<typeof saidInput>;

type Scene = {
  readonly from: Person;
  /** The other one; in a group none. */
  readonly to: Person | undefined;
  /** The chat, as whoever writes has it. */
  readonly chat: string;
};

export async function contentOfSaid(
  world: World,
  acts: Acts,
  { said, scene }: { said: Said; scene: Scene },
): Promise<proto.IMessage> {
  let content = await contentOfWhat(world, acts, { what: said.what, scene });
  if (said.viewOnce) content = contents.viewOnce(content);
  return said.ephemeral ? contents.ephemeral(content) : content;
}

async function contentOfWhat(
  world: World,
  acts: Acts,
  given: { what: Said['what']; scene: Scene },
): Promise<proto.IMessage> {
  const { what: said, scene } = given;
  const { chat } = scene;
  const at = ({ id: of, isOwn }: z.output<typeof target>): contents.Target => ({
    id: of,
    isOwn: isOwn ?? world.written(of)?.from === scene.from,
    chat,
  });
  if ('text' in said) return { conversation: said.text };
  if ('media' in said) {
    const { base64, bytes, ...about } = said.media;
    const file = base64 === undefined ? randomBytes(bytes) : Buffer.from(base64, 'base64');
    return acts.media({ ...about, bytes: file });
  }
  if ('reply' in said) {
    const { author, content } = quoted(world, scene, said.reply.to);
    return contents.reply(said.reply.text, { id: said.reply.to, author, content });
  }
  if ('reaction' in said) return contents.reaction(at(said.reaction), said.reaction.emoji);
  if ('edit' in said) return contents.edit(at(said.edit), said.edit.text);
  if ('revoke' in said) return contents.revoke(at(said.revoke));
  if ('poll' in said) {
    const { name, options, selectable } = said.poll;
    return contents.poll(name, options, selectable === undefined ? {} : { selectable });
  }
  if ('vote' in said) return vote(scene, said.vote);
  if ('location' in said) return contents.location(said.location, said.location.name);
  if ('contact' in said) return contents.contactCard(said.contact.name, said.contact.phone);
  return proto.Message.fromObject(said.raw);
}

function quoted(
  world: World,
  { from, chat }: Scene,
  of: string,
): { author: string; content: proto.IMessage } {
  const written = world.written(of);
  if (written) return { author: written.from.jid, content: written.content };
  const received = mustFind(from.find(of), `message ${of}`);
  return { author: chat, content: received.message };
}

function vote(
  { from, to, chat }: Scene,
  given: { poll: string; options: readonly string[]; by: 'lid' | 'pn' },
): proto.IMessage {
  const received = mustFind(from.find(given.poll), `poll ${given.poll}`);
  const secret = received.message.messageContextInfo?.messageSecret;
  if (!secret?.length || !to) throw new WorldError(`${given.poll} is no poll to vote in`);
  const jidOf = (person: Person): string => (given.by === 'lid' ? person.lidJid : person.phoneJid);
  return contents.pollVote({
    poll: { id: given.poll, isOwn: false, chat },
    secret,
    options: given.options,
    creator: jidOf(to),
    voter: jidOf(from),
  });
}
