import { editAtRandom } from '../../fakes/kommo/edits.ts';
import type { FaultInput } from '../../fakes/kommo/faults.ts';
import type { Random } from '../../fakes/kommo/random.ts';
import type { WorldSettingsInput } from '../../fakes/kommo/settings.ts';
import type { World } from '../../fakes/kommo/world.ts';

/** How a Kommo behaves for one seed. */
export type Weather = {
  readonly settings: WorldSettingsInput;
  /**
   * Some of what changes there is told by nothing that is asked every few seconds: it is found by the reading of
   * everything, at night or when somebody wants it.
   */
  readonly isLossy: boolean;
  /** Lists may show a row as it was after something else has shown it newer: of one second nobody knows the order. */
  readonly isLate: boolean;
};

export function drawWeather(random: Random): Weather {
  const isLossy = random.below(3) === 0;
  const isLate = random.below(2) === 0;
  const nextLink = random.pick(['when-full', 'when-more', 'always', 'never'] as const);
  const yes = (): boolean => random.below(2) === 0;
  return {
    isLossy,
    isLate,
    settings: {
      nextLink,
      ties: random.pick(['by-id', 'shuffled'] as const),
      isRangeInclusive: random.below(3) > 0,
      listDelayMs: isLate ? [0, 3_000] : [0, 0],
      eventDelayMs: random.pick([
        [0, 0],
        [0, 3_000],
      ]),
      eventOrder: random.pick(['newest', 'oldest'] as const),
      // Of a list that says neither how long a page is nor that there is another one, the rest is not asked for.
      eventsPerPageMax: nextLink === 'never' ? 250 : random.pick([100, 250]),
      emptyFields: random.pick(['null', 'list'] as const),
      doTagsRaiseUpdatedAt: yes(),
      doLinksRaiseUpdatedAt: yes(),
      doesMergeTellDeleted: !isLossy || yes(),
      areFiltersKnown: !isLossy || random.below(4) > 0,
      eventLoss: isLossy ? random.pick([0.2, 1]) : 0,
    },
  };
}

/** Things that go wrong with some of the requests, until they are taken back. */
export function drawFaults(random: Random): Omit<FaultInput, 'subdomain'>[] {
  const seconds = random.pick([-90, 90]);
  const status = random.pick([500, 502, 503, 504]);
  const as = random.pick(['json', 'html'] as const);
  const all: Omit<FaultInput, 'subdomain'>[] = [
    { share: 0.2, does: { kind: 'latency', ms: 1 + random.below(15), isAfter: true } },
    { share: 0.2, does: { kind: 'latency', ms: 1 + random.below(15) } },
    { share: 0.05, does: { kind: 'cut' } },
    { share: 0.05, does: { kind: 'cut', as: 'whole' } },
    { share: 0.05, does: { kind: 'invalid-json' } },
    { share: 0.08, does: { kind: 'status', status, as, isHandled: random.below(2) === 0 } },
    { share: 0.05, does: { kind: 'reset', isHandled: random.below(2) === 0 } },
    { share: 0.1, does: { kind: 'content-type', value: 'text/html' } },
    { share: 0.3, endpoint: 'leads', does: { kind: 'duplicates', rows: 1 + random.below(4) } },
    { share: 0.3, endpoint: 'contacts', does: { kind: 'duplicates', rows: 1 + random.below(4) } },
    { share: 0.2, endpoint: 'leads', does: { kind: 'edit', rows: 1 + random.below(5) } },
    { share: random.pick([0.3, 1]), does: { kind: 'clock-offset', seconds } },
    { times: 1, share: 0.05, does: { kind: 'stall' } },
    { times: 1, share: 0.02, does: { kind: 'status', status: 429, retryAfterSeconds: 60 } },
    { times: 1, share: 0.01, does: { kind: 'status', status: 429, as: 'html' } },
    { times: 1, share: 0.01, does: { kind: 'status', status: 403, as: 'html' } },
  ];
  return [
    ...all.filter(() => random.below(2) === 0),
    // Pages become smaller, so that there are several of them.
    ...SLOW.map((endpoint) => ({ ...slow, endpoint })),
  ];
}

const SLOW = ['leads', 'contacts'] as const;
const slow = { times: 3, share: 0.5, does: { kind: 'status', status: 504, as: 'html' } } as const;

type Edit = readonly [name: string, weight: number, run: (world: World, random: Random) => void];

const thereOf = <Row extends { isDeleted: boolean; isUnsorted: boolean }>(
  rows: Iterable<Row>,
): Row[] => [...rows].filter((row) => !row.isDeleted && !row.isUnsorted);

/** With so many of them, no more: what is looked for is empty now and then. */
function some<Row>(rows: readonly Row[], random: Random, run: (row: Row) => unknown): void {
  if (rows.length > 0) run(random.pick(rows));
}

const leads = (world: World) => thereOf(world.leads.all());
const contacts = (world: World) => thereOf(world.contacts.all());
/** Names change. */
function byType<Value>(world: World, values: Record<string, Value>): Record<string, Value> {
  return Object.fromEntries(
    world.fields.list('leads').flatMap(({ id, type }) => {
      const value = values[type];
      return value === undefined ? [] : [[String(id), value]];
    }),
  );
}

const PHONES = ['987 654 321', '+51 912345678', '51 911-222-333', 'no tiene', '998877665'];

/** What each row tells of itself, or an event does. */
const PLAIN: readonly Edit[] = [
  [
    'fields of a lead',
    3,
    (world, random) =>
      some(leads(world), random, ({ id }) =>
        world.leads.update(id, {
          fields: byType(world, {
            select: random.pick([null, 'Web', 'Tienda']),
            multiselect: random.pick([null, ['Ingles'], ['Excel', 'Cocina']]),
            date: random.pick([null, 1_795_305_600, 1_795_323_600]),
            date_time: random.pick([null, 1_795_340_000]),
            checkbox: random.pick([null, true, false]),
          }),
        }),
      ),
  ],
  [
    'a contact as a whole',
    3,
    (world, random) =>
      some(contacts(world), random, ({ id }) =>
        world.contacts.update(id, {
          firstName: random.pick(['Rosa', 'Ñusta', 'Ana']),
          lastName: random.pick(['', 'Quispe', 'O’Higgins']),
          emails: random.pick([[], ['a@example.com'], ['b@example.com', 'c@example.com']]),
          phones: PHONES.filter(() => random.below(4) === 0),
          fields: { Position: random.pick([null, 'Gerente']), Nacimiento: 946_684_800 },
        }),
      ),
  ],
  [
    'tags of a contact',
    2,
    (world, random) =>
      some(contacts(world), random, ({ id }) =>
        world.contacts.update(id, { tags: ['VIP', 'Alumno', 'Feria'].slice(random.below(4)) }),
      ),
  ],
  [
    'a tag less',
    2,
    (world, random) =>
      some(leads(world), random, ({ id, tagIds }) =>
        some(tagIds, random, (tagId) =>
          world.leads.untag(id, [world.tags.get('leads', tagId)?.name ?? '']),
        ),
      ),
  ],
  [
    'a lead without its contact',
    1,
    (world, random) =>
      some(leads(world), random, ({ id, contacts: linked }) =>
        some(linked, random, (contact) => world.leads.unlink(id, contact.id)),
      ),
  ],
  [
    'won and lost',
    2,
    (world, random) =>
      some(leads(world), random, ({ id }) =>
        world.leads.update(id, {
          statusId: random.pick([142, 143]),
          lossReasonId: random.pick(world.lossReasons.list()).id,
        }),
      ),
  ],
  [
    'a note or a task',
    2,
    (world, random) =>
      some(contacts(world), random, ({ id }) =>
        world.contacts.update(id, { closestTaskAt: 1_900_000_000 + random.below(1_000) }),
      ),
  ],
];

/** What takes several rows along, or lists in which it is looked for otherwise. */
const WILD: readonly Edit[] = [
  ['many at once', 1, (world, random) => world.bulkEdit('leads', { count: 1 + random.below(150) })],
  [
    'many contacts at once',
    1,
    (world, random) => world.bulkEdit('contacts', { count: 1 + random.below(150) }),
  ],
  [
    'several edits of one lead in one second',
    3,
    (world, random) =>
      some(leads(world), random, ({ id }) =>
        world.atOnce(() => {
          for (const price of [random.below(9), 10 + random.below(9)])
            world.leads.update(id, { price });
        }),
      ),
  ],
  [
    'a contact is deleted',
    1,
    (world, random) => some(contacts(world), random, ({ id }) => world.contacts.delete(id)),
  ],
  [
    'a contact is restored',
    2,
    (world, random) =>
      some(
        [...world.contacts.all()].filter(({ isDeleted }) => isDeleted),
        random,
        ({ id }) => world.contacts.restore(id),
      ),
  ],
  [
    'a lead is deleted for good',
    1,
    (world, random) => some(leads(world), random, ({ id }) => world.leads.purge(id)),
  ],
  [
    'two contacts are one',
    1,
    (world, random) =>
      some(contacts(world), random, (into) =>
        some(
          contacts(world).filter(({ id }) => id !== into.id),
          random,
          (from) => world.contacts.merge({ into: into.id, from: from.id }),
        ),
      ),
  ],
  [
    'a new stage, and a lead in it',
    1,
    (world, random) => {
      const { id: pipelineId } = random.pick(world.pipelines.list());
      const { id: statusId } = world.pipelines.addStage(pipelineId, { name: random.hex(6) });
      some(leads(world), random, ({ id }) => world.leads.update(id, { pipelineId, statusId }));
    },
  ],
  [
    'a stage less',
    1,
    (world, random) => {
      const { id, stages } = random.pick(world.pipelines.list());
      const own = stages.filter(({ isEditable }) => isEditable);
      if (own.length > 1) world.pipelines.removeStage(id, random.pick(own).id);
    },
  ],
  [
    'an incoming lead',
    1,
    (world, random) =>
      world.unsorted.add({ lead: { name: 'From a form' }, contact: { firstName: random.hex(5) } }),
  ],
  [
    'an incoming lead is accepted',
    1,
    (world, random) => some(world.unsorted.list(), random, ({ uid }) => world.unsorted.accept(uid)),
  ],
  [
    'a tag is called otherwise',
    1,
    (world, random) =>
      some(world.tags.list('leads'), random, ({ id }) =>
        world.tags.update('leads', id, { name: `Tag ${random.hex(5)}` }),
      ),
  ],
];

/** What moves no `updated_at` and is in no event. */
const SILENT: readonly Edit[] = [
  [
    'a field is called otherwise',
    1,
    (world, random) =>
      some(world.fields.list('leads'), random, ({ id }) =>
        world.fields.rename(id, `Field ${random.hex(5)}`),
      ),
  ],
  [
    'a reason is called otherwise',
    1,
    (world, random) =>
      some(world.lossReasons.list(), random, ({ id }) =>
        world.lossReasons.rename(id, `Reason ${random.hex(5)}`),
      ),
  ],
];

/** One thing that happens; `plain`: to one row, that tells of it. */
export function stir(
  world: World,
  random: Random,
  { isPlain, isSilent = false }: { isPlain: boolean; isSilent?: boolean },
): void {
  if (random.below(2) === 0) {
    editAtRandom(world, random);
    return;
  }
  const edits = [...PLAIN, ...(isPlain ? [] : WILD), ...(isSilent ? SILENT : [])];
  let left = random.next() * edits.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [, weight, run] of edits) {
    left -= weight;
    if (left >= 0) continue;
    run(world, random);
    return;
  }
}
