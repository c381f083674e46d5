import type { Random } from './random.ts';
import type { World } from './world.ts';

/** One thing that people and robots do in a CRM, chosen by `random`. Gives what it was; undefined when there was nothing to do it to. */
export function editAtRandom(world: World, random: Random): string | undefined {
  const total = EDITS.reduce((sum, { weight }) => sum + weight, 0);
  let left = random.next() * total;
  for (const { name, weight, run } of EDITS) {
    left -= weight;
    if (left < 0) return run(world, random) ? name : undefined;
  }
  return undefined;
}

type Edit = {
  readonly name: string;
  readonly weight: number;
  /** Gives whether there was something to edit. */
  readonly run: (world: World, random: Random) => boolean;
};

const NAMES = ['Ana', 'Bruno', 'Carla', 'Diego', 'Élida', 'Fabián', 'Gloria', 'Hugo'] as const;
const TAGS = ['VIP', 'CONFIRMADO', 'Pendiente', 'Frío', 'Feria'] as const;

const pickLead = (world: World, random: Random) =>
  pickRow(
    [...world.leads.all()].filter((row) => !row.isDeleted && !row.isUnsorted),
    random,
  );
const pickContact = (world: World, random: Random) =>
  pickRow(
    [...world.contacts.all()].filter((row) => !row.isDeleted && !row.isUnsorted),
    random,
  );

function pickRow<Row>(rows: readonly Row[], random: Random): Row | undefined {
  return rows.length === 0 ? undefined : random.pick(rows);
}

/** With a row that is found, or not at all. */
function withOne<Row>(row: Row | undefined, run: (row: Row) => unknown): boolean {
  if (row === undefined) return false;
  run(row);
  return true;
}

const phone = (random: Random): string => `+519${String(random.below(1e8)).padStart(8, '0')}`;

const EDITS: readonly Edit[] = [
  {
    name: 'a new lead of a new contact',
    weight: 3,
    run: (world, random) => {
      const firstName = random.pick(NAMES);
      const contact = world.contacts.create({ firstName, phones: [phone(random)] });
      world.leads.create({ name: `Consulta ${firstName}`, contactIds: [contact.id] });
      return true;
    },
  },
  {
    name: 'another lead of a contact',
    weight: 1,
    run: (world, random) =>
      withOne(pickContact(world, random), ({ id }) => {
        world.leads.create({ name: 'Otra consulta', contactIds: [id] });
      }),
  },
  {
    name: 'a lead is moved',
    weight: 5,
    run: (world, random) =>
      withOne(pickLead(world, random), ({ id }) => {
        const pipeline = random.pick(world.pipelines.list());
        const stage = random.pick(pipeline.stages.filter(({ type }) => type === 0));
        const reasons = world.lossReasons.list();
        const lossReasonId = reasons.length > 0 ? random.pick(reasons).id : null;
        world.leads.update(id, { pipelineId: pipeline.id, statusId: stage.id, lossReasonId });
      }),
  },
  {
    name: 'a lead has another price',
    weight: 3,
    run: (world, random) =>
      withOne(pickLead(world, random), ({ id }) =>
        world.leads.update(id, { price: random.below(100) * 50 }),
      ),
  },
  {
    name: 'a lead has another name, or none',
    weight: 2,
    run: (world, random) =>
      withOne(pickLead(world, random), ({ id }) =>
        world.leads.update(id, { name: random.below(5) === 0 ? '' : `Lead ${random.hex(4)}` }),
      ),
  },
  {
    name: 'a lead has another owner',
    weight: 1,
    run: (world, random) =>
      withOne(pickLead(world, random), ({ id }) =>
        world.leads.update(id, { responsibleUserId: random.pick(world.users.list()).id }),
      ),
  },
  {
    name: 'a field of a lead is filled or cleared',
    weight: 3,
    run: (world, random) =>
      withOne(pickLead(world, random), ({ id }) => {
        const field = world.fields.list('leads').find(({ type }) => type === 'numeric');
        const value = random.below(3) === 0 ? null : 18 + random.below(60);
        if (field) world.leads.update(id, { fields: { [field.id]: value } });
      }),
  },
  {
    name: 'a lead is tagged',
    weight: 2,
    run: (world, random) =>
      withOne(pickLead(world, random), ({ id }) => world.leads.tag(id, [random.pick(TAGS)])),
  },
  {
    name: 'a lead loses its tags',
    weight: 1,
    run: (world, random) =>
      withOne(pickLead(world, random), ({ id }) => world.leads.update(id, { tags: [] })),
  },
  {
    name: 'a lead is linked to a contact',
    weight: 1,
    run: (world, random) =>
      withOne(pickLead(world, random), (lead) =>
        withOne(pickContact(world, random), (contact) =>
          world.leads.link(lead.id, contact.id, { isMain: random.below(2) === 0 }),
        ),
      ),
  },
  {
    name: 'a lead is deleted',
    weight: 1,
    run: (world, random) => withOne(pickLead(world, random), ({ id }) => world.leads.delete(id)),
  },
  {
    name: 'a lead is restored',
    weight: 1,
    run: (world, random) =>
      withOne(
        pickRow(
          [...world.leads.all()].filter((row) => row.isDeleted),
          random,
        ),
        ({ id }) => world.leads.restore(id),
      ),
  },
  {
    name: 'a contact is renamed',
    weight: 2,
    run: (world, random) =>
      withOne(pickContact(world, random), ({ id }) =>
        world.contacts.update(id, { firstName: random.pick(NAMES), lastName: random.hex(4) }),
      ),
  },
  {
    name: 'a contact has other phones',
    weight: 2,
    run: (world, random) =>
      withOne(pickContact(world, random), ({ id }) =>
        world.contacts.update(id, {
          phones: Array.from({ length: random.below(3) }, () => phone(random)),
        }),
      ),
  },
  {
    name: 'a contact is tagged',
    weight: 1,
    run: (world, random) =>
      withOne(pickContact(world, random), ({ id }) => world.contacts.tag(id, [random.pick(TAGS)])),
  },
  {
    name: 'something is noted on a lead',
    weight: 1,
    run: (world, random) => withOne(pickLead(world, random), ({ id }) => world.leads.touch(id)),
  },
];
