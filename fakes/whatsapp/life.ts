import { createRandom, type Random } from '../kommo/random.ts';
import type { Acts } from './acts.ts';
import * as contents from './contents.ts';
import type { Arrived } from './habits.ts';
import type { LinkedDevice } from './linked-device.ts';
import type { Person } from './person.ts';
import { PICTURE } from './picture.ts';
import type { World } from './world.ts';

/**
 * People who write by themselves, for as long as a device of the account is there: something every ten to twenty seconds, an
 * answer to most of what they get, after a moment. At most MESSAGES_A_DAY in a day.
 */
export type Life = { stop(): void };

type Means = {
  readonly world: World;
  readonly acts: Acts;
  readonly own: Person;
  readonly people: readonly Person[];
  readonly random: Random;
};

const MESSAGES_A_DAY = 400;
const DAY_MS = 86_400_000;
const EVERY_MS = { min: 10_000, more: 10_000 };
const READ_AFTER_MS = 2_500;
const TYPES_AFTER_MS = 3_000;
const ANSWERS_AFTER_MS = 6_000;
const ANSWER_SHARE = 0.7;

const OPENINGS = [
  'Hola, buenas tardes',
  '¿Cuánto cuesta el curso?',
  '¿Todavía hay vacantes para marzo?',
  'Quisiera más información, por favor',
  '¿A qué hora atienden los sábados?',
  '¿Dónde están ubicados?',
  'Ya hice el depósito',
  '¿Me pueden llamar mañana?',
  '¿Aceptan Yape?',
  'Les escribo por el anuncio',
];
const ANSWERS = [
  'Gracias',
  'Perfecto, mañana paso',
  '¿Y para adultos también?',
  'Ok 👍',
  'Lo consulto con mi esposo y le aviso',
  'Muy amable',
  '¿Me manda la ubicación?',
  'Entendido',
];
const EMOJIS = ['👍', '❤️', '🙏', '😂'];

/** Of its people; they are added to the world. */
export const CUSTOMERS = [
  ['51987654301', 'Rosa Quispe'],
  ['51987654302', 'Luis Mamani'],
  ['51987654303', 'Carmen Flores'],
  ['51987654304', 'Jorge Huamán'],
  ['51987654305', 'Milagros Rojas'],
  ['51987654306', 'Pedro Castro'],
  ['51987654307', 'Elena Vargas'],
  ['51987654308', 'Iván Torres'],
] as const;

export function startLife(
  world: World,
  acts: Acts,
  { own, people, seed }: { own: Person; people: readonly Person[]; seed: number },
): Life {
  const random = createRandom(seed, 'life');
  const means: Means = { world, acts, own, people, random };
  let left = MESSAGES_A_DAY;
  let isOver = false;
  let dayEndsMs = Date.now() + DAY_MS;
  const mayWrite = (): boolean => {
    if (Date.now() > dayEndsMs) {
      left = MESSAGES_A_DAY;
      dayEndsMs = Date.now() + DAY_MS;
    }
    left -= 1;
    return !isOver && left >= 0 && isThere(means);
  };
  const live = (): void => {
    world.after(EVERY_MS.min + random.next() * EVERY_MS.more, () => {
      if (isOver) return;
      if (isThere(means) && mayWrite()) attempt(world, writeSomething(means));
      live();
    });
  };
  live();
  for (const person of people) {
    person.habits = { ...person.habits, deliveredAfterMs: 500, readAfterMs: READ_AFTER_MS };
  }
  world.onArrived = (device, arrived) => {
    if (device.owner === own && random.next() < ANSWER_SHARE) {
      answerLater(means, arrived, mayWrite);
    }
  };
  return {
    stop: () => {
      isOver = true;
      world.onArrived = undefined;
    },
  };
}

function isThere({ world, own }: Means): boolean {
  return own.linked().some((device: LinkedDevice) => world.connections.find(device)?.isActive);
}

async function writeSomething({ acts, own, people, random }: Means): Promise<void> {
  const from = random.pick(people);
  const who = { from, to: own };
  const got = from.received().at(-1);
  const dice = random.next();
  if (dice < 0.15) {
    const caption = 'Le mando la foto';
    await acts.write(who, await acts.media({ kind: 'image', bytes: PICTURE, caption }));
  } else if (dice < 0.3 && got) {
    const target = { id: got.id, isOwn: false, chat: own.jid };
    await acts.write(who, contents.reaction(target, random.pick(EMOJIS)));
  } else {
    await acts.write(who, random.pick(OPENINGS));
  }
}

function answerLater(
  means: Means,
  { person, id, message }: Arrived,
  mayWrite: () => boolean,
): void {
  const { world, acts, own, random } = means;
  const who = { from: person, to: own };
  world.after(TYPES_AFTER_MS, () => acts.type(who, 'composing'));
  world.after(ANSWERS_AFTER_MS, () => {
    if (!mayWrite()) return;
    const text = random.pick(ANSWERS);
    const quoted = { id, author: own.jid, content: message };
    const said = random.next() < 0.3 ? contents.reply(text, quoted) : text;
    attempt(
      world,
      acts.write(who, said).then(() => undefined),
    );
  });
}

function attempt(world: World, written: Promise<void>): void {
  written.catch((error: unknown) => world.noteError(error));
}
