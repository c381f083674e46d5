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
 * answer to most of what they get, after a moment; so much in a day and no more.
 */
export type Life = {
  /** How often it was time to write, and how often somebody did. */
  readonly counts: { readonly turns: number; readonly written: number };
  stop(): void;
};

export type Pace = {
  /** From one message to the next, at least, and at most so much more. */
  readonly everyMs: { readonly min: number; readonly more: number };
  readonly answersAfterMs: number;
  readonly messagesADay: number;
  /** Unix milliseconds. */
  readonly now: () => number;
};

type Means = {
  readonly world: World;
  readonly acts: Acts;
  readonly own: Person;
  readonly people: readonly Person[];
  readonly random: Random;
};

const DAY_MS = 86_400_000;
const PACE: Pace = {
  everyMs: { min: 10_000, more: 10_000 },
  answersAfterMs: 6_000,
  messagesADay: 400,
  now: Date.now,
};
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
  options: { own: Person; people: readonly Person[]; seed: number; pace?: Partial<Pace> },
): Life {
  const { own, people, seed } = options;
  const pace: Pace = { ...PACE, ...options.pace };
  const random = createRandom(seed, 'life');
  const means: Means = { world, acts, own, people, random };
  const counts = { turns: 0, written: 0 };
  let day = { endsMs: pace.now() + DAY_MS, written: 0 };
  let isOver = false;
  /** Counts what is then written. */
  const mayWrite = (): boolean => {
    counts.turns += 1;
    if (pace.now() > day.endsMs) day = { endsMs: pace.now() + DAY_MS, written: 0 };
    if (isOver || !isThere(means) || day.written >= pace.messagesADay) return false;
    day.written += 1;
    counts.written += 1;
    return true;
  };
  const live = (): void => {
    world.after(pace.everyMs.min + random.next() * pace.everyMs.more, () => {
      if (isOver) return;
      if (mayWrite()) attempt(world, writeSomething(means));
      live();
    });
  };
  live();
  const { answersAfterMs } = pace;
  for (const person of people) {
    const habits = { deliveredAfterMs: answersAfterMs / 12, readAfterMs: answersAfterMs / 3 };
    person.habits = { ...person.habits, ...habits };
  }
  world.onArrived = (device, arrived) => {
    if (device.owner !== own || random.next() >= ANSWER_SHARE) return;
    const who = { from: arrived.person, to: own };
    world.after(answersAfterMs / 2, () => acts.type(who, 'composing'));
    world.after(answersAfterMs, () => {
      if (mayWrite()) attempt(world, answer(means, arrived));
    });
  };
  return {
    counts,
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

async function answer(
  { acts, own, random }: Means,
  { person, id, message }: Arrived,
): Promise<void> {
  const text = random.pick(ANSWERS);
  const quoted = { id, author: own.jid, content: message };
  const said = random.next() < 0.3 ? contents.reply(text, quoted) : text;
  await acts.write({ from: person, to: own }, said);
}

function attempt(world: World, written: Promise<void>): void {
  written.catch((error: unknown) => world.noteError(error));
}
