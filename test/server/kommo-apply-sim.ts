import type { KommoTag } from '../../server/kommo/documents.ts';
import type { ContactGiven, LeadGiven } from './kommo-apply-documents.ts';
import { T } from './kommo-apply-documents.ts';

/** A small Kommo that people work in at random; its clock has seconds, and several things happen in one. */
export type Sim = {
  readonly random: Random;
  /** One edit of something. */
  edit(): void;
  now(): number;
  /** All that its lists show. */
  contacts(): ContactGiven[];
  leads(): LeadGiven[];
  /** How something looked at some time. */
  oldContact(): ContactGiven | undefined;
  oldLead(): LeadGiven | undefined;
  deleted(entity: 'contact' | 'lead'): { id: number; at: number }[];
};

export type Random = {
  below(limit: number): number;
  chance(of: number): boolean;
  pick<X>(list: readonly X[]): X;
  some<X>(list: readonly X[], share: number): X[];
  shuffled<X>(list: readonly X[]): X[];
};

/** Mulberry32: the same numbers for the same seed. */
export function createRandom(seed: number): Random {
  let state = seed;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (limit: number): number => Math.floor(next() * limit);
  return {
    below,
    chance: (of) => below(of) === 0,
    pick: <X>(list: readonly X[]): X => list[below(list.length)] as X,
    some: (list, share) => list.filter(() => next() < share),
    shuffled: (list) =>
      list
        .map((one) => [next(), one] as const)
        .toSorted(([one], [other]) => one - other)
        .map(([, one]) => one),
  };
}

export type SimSetting = {
  readonly phones: readonly string[];
  readonly tags: Readonly<Record<'contact' | 'lead', readonly KommoTag[]>>;
  readonly users: readonly number[];
  /** The first is followed, with its stages; won and lost are in every one. */
  readonly pipelines: readonly { readonly id: number; readonly statuses: readonly number[] }[];
  readonly nextId: () => number;
};

type Kept<G> = { given: G & { at: number }; deletedAt: number | undefined };

export function createSim(random: Random, setting: SimSetting): Sim {
  const contacts: Kept<ContactGiven>[] = [];
  const leads: Kept<LeadGiven>[] = [];
  const history: { contact: ContactGiven[]; lead: LeadGiven[] } = { contact: [], lead: [] };
  let clock = T;
  const shown = <G>(list: readonly Kept<G>[]): Kept<G>[] =>
    list.filter(({ deletedAt }) => deletedAt === undefined);
  const change = <G>(kept: Kept<G> | undefined, with_: Partial<G>, past: G[]): void => {
    if (!kept) return;
    kept.given = { ...kept.given, ...with_, at: clock };
    past.push(kept.given);
  };
  const editContact = (kept?: Kept<ContactGiven>): void =>
    change(kept, contactChange(random, setting), history.contact);
  const editLead = (kept?: Kept<LeadGiven>): void =>
    change(kept, leadChange(random, setting, contacts), history.lead);
  const anyOf = <G>(list: readonly Kept<G>[]): Kept<G> | undefined =>
    list.length === 0 ? undefined : random.pick(list);
  const remove = <G>(list: readonly Kept<G>[]): void => {
    const kept = anyOf(shown(list));
    if (kept) kept.deletedAt = clock;
  };
  const restore = <G>(list: readonly Kept<G>[], past: G[]): void => {
    const kept = anyOf(list.filter(({ deletedAt }) => deletedAt !== undefined));
    if (kept) kept.deletedAt = undefined;
    change(kept, {}, past);
  };
  const edits: [weight: number, edit: () => void][] = [
    [2, () => contacts.length < 9 && contacts.push(newContact(setting, clock))],
    [2, () => leads.length < 9 && leads.push(newLead(setting, clock))],
    [9, () => editContact(anyOf(shown(contacts)))],
    [12, () => editLead(anyOf(shown(leads)))],
    [1, () => remove(contacts)],
    [1, () => remove(leads)],
    [1, () => restore(contacts, history.contact)],
    [1, () => restore(leads, history.lead)],
  ];
  const weighted = edits.flatMap(([weight, edit]) => Array.from({ length: weight }, () => edit));
  return {
    random,
    edit: () => {
      clock += random.below(3);
      random.pick(weighted)();
    },
    now: () => clock,
    contacts: () => shown(contacts).map(({ given }) => given),
    leads: () => shown(leads).map(({ given }) => given),
    oldContact: () => (history.contact.length > 0 ? random.pick(history.contact) : undefined),
    oldLead: () => (history.lead.length > 0 ? random.pick(history.lead) : undefined),
    deleted: (entity) =>
      (entity === 'contact' ? contacts : leads).flatMap(({ given, deletedAt }) =>
        deletedAt === undefined ? [] : [{ id: given.id, at: deletedAt }],
      ),
  };
}

function newContact({ nextId }: SimSetting, at: number): Kept<ContactGiven> {
  const id = nextId();
  return { given: { id, at, name: `Person ${id}` }, deletedAt: undefined };
}

function newLead({ nextId, pipelines }: SimSetting, at: number): Kept<LeadGiven> {
  const id = nextId();
  const pipeline = pipelines[0]?.id ?? 0;
  const status = pipelines[0]?.statuses[0] ?? 0;
  return { given: { id, at, name: `Deal ${id}`, pipeline, status }, deletedAt: undefined };
}

function contactChange(random: Random, { phones, tags }: SimSetting): Partial<ContactGiven> {
  return random.pick<() => Partial<ContactGiven>>([
    () => ({ name: random.pick(['', 'Rosa', 'Ana', 'Luz']) }),
    () => ({ lastName: random.pick(['', 'Quispe', 'Rojas']) }),
    () => ({ emails: random.pick([[], ['a@x.pe'], ['b@x.pe']]) }),
    () => ({ phones: random.shuffled(random.some(phones, 0.25)).map((phone) => `+${phone}`) }),
    () => ({ phones: random.some(phones, 0.1).map((phone) => `+${phone}`) }),
    () => ({ fields: fieldsOf(random) }),
    () => ({ tags: random.some(tags.contact, 0.4) }),
    // Nothing that is read: a task, a score.
    () => ({}),
  ])();
}

function leadChange(
  random: Random,
  { pipelines, tags, users }: SimSetting,
  contacts: readonly Kept<ContactGiven>[],
): Partial<LeadGiven> {
  const move = (): Partial<LeadGiven> => {
    const { id, statuses } = random.chance(4)
      ? random.pick(pipelines)
      : (pipelines[0] ?? random.pick(pipelines));
    return { pipeline: id, status: random.pick(statuses), closedAt: null };
  };
  return random.pick<() => Partial<LeadGiven>>([
    () => ({ name: random.pick(['', 'Curso', 'Matricula', 'Taller']) }),
    () => ({ price: random.pick([0, 100, 250.5]) }),
    move,
    move,
    () => ({ ...move(), status: 142, closedAt: T - random.below(3) }),
    () => ({
      ...move(),
      status: 143,
      closedAt: T - random.below(3),
      lossReason: random.pick(['Precio', 'Tiempo', '']),
    }),
    () => ({ contacts: random.shuffled(random.some(contacts, 0.3)).map(({ given }) => given.id) }),
    () => ({ contacts: contacts.length === 0 ? [] : [random.pick(contacts).given.id] }),
    () => ({ responsible: random.pick(users) }),
    () => ({ fields: fieldsOf(random) }),
    () => ({ tags: random.some(tags.lead, 0.4) }),
    () => ({}),
  ])();
}

function fieldsOf(random: Random): Record<string, unknown> {
  const names = random.some(['Edad', 'Origen', 'Curso'], 0.5);
  return Object.fromEntries(names.map((name) => [name, String(random.below(3))]));
}
