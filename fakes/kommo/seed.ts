import type { ContactRow, FieldValue, FieldValues, LeadRow } from './model.ts';
import { isClosed } from './leads.ts';
import { LOST } from './model.ts';
import type { Random } from './random.ts';
import type { Rows } from './rows.ts';
import type { World } from './world.ts';

/** What a new account has: two pipelines, two people, fields of every type, reasons to lose. */
export function furnish(world: World): void {
  world.users.add({ name: 'Ana', email: 'ana@example.com', isAdmin: true });
  world.users.add({ name: 'Luis', email: 'luis@example.com' });
  const sales = ['Contactado', 'Visita', 'Propuesta'].map((name) => ({ name }));
  world.pipelines.add({ name: 'Ventas', stages: sales });
  world.pipelines.add({ name: 'Postventa', stages: [{ name: 'Bienvenida' }, { name: 'Activo' }] });
  for (const name of ['Precio', 'Sin respuesta', 'Eligió a otro']) world.lossReasons.add(name);
  const lead = (name: string, type: string, more: { code?: string; enums?: string[] } = {}) =>
    world.fields.define({ entity: 'leads', name, type, ...more });
  lead('Edad', 'numeric');
  lead('Origen', 'select', { enums: ['Web', 'Facebook', 'Referido', 'Tienda'] });
  lead('Cursos', 'multiselect', { enums: ['Ingles', 'Excel', 'Marketing', 'Cocina'] });
  lead('Inicio', 'date');
  lead('Llamada', 'date_time');
  lead('Acepta', 'checkbox');
  lead('Comentario', 'textarea');
  lead('utm_source', 'tracking_data', { code: 'UTM_SOURCE' });
  const contact = (name: string, type: string, more: { code?: string; enums?: string[] } = {}) =>
    world.fields.define({ entity: 'contacts', name, type, ...more });
  const phones = ['WORK', 'MOB', 'WORKDD', 'FAX', 'HOME', 'OTHER'];
  contact('Phone', 'multitext', { code: 'PHONE', enums: phones });
  contact('Email', 'multitext', { code: 'EMAIL', enums: ['WORK', 'PRIV', 'OTHER'] });
  contact('Position', 'text', { code: 'POSITION' });
  contact('Nacimiento', 'birthday');
}

const FIRST_NAMES =
  'Rosa José María Luis Carmen Jorge Ana Víctor Julia César Elena Raúl Lucía Óscar'.split(' ');
const LAST_NAMES =
  'Quispe Flores Sánchez Rojas Huamán Torres Ñahui Chávez Ramos Vásquez Díaz Mamani'.split(' ');
const SUBJECTS = 'Matrícula Renovación Consulta Pedido Cotización Visita'.split(' ');
const TAGS = 'VIP CONFIRMADO Pendiente Becado Reingreso Feria'.split(' ');
const TWO_YEARS_SECONDS = 2 * 365 * 86_400;

const NO_TAGS: readonly number[] = [];
const NO_FIELDS: FieldValues = new Map();

type Given = { readonly leads: Rows<'leads'>; readonly contacts: Rows<'contacts'> };
type Wanted = { readonly leads: number; readonly contacts: number; readonly random: Random };

/**
 * Contacts first, leads over them: most leads have a contact, some share one, some have two or none; phones are written as
 * people write them, and some are two people's. Spread over the last two years.
 */
export function generate(world: World, rows: Given, { leads, contacts, random }: Wanted): void {
  const contactIds: number[] = [];
  const stamp = createStamp(world, random);
  const writeContact = createContactWriter(world, rows.contacts, random);
  // Copied and not built anew: a hundred thousand rows are a second of work.
  const contact = world.contacts.build({});
  for (let index = 0; index < contacts; index += 1) {
    const row = writeContact(contact, stamp());
    rows.contacts.insert(row);
    contactIds.push(row.id);
  }
  const writeLead = createLeadWriter(world, rows.leads, random);
  const lead = world.leads.build({});
  for (let index = 0; index < leads; index += 1) {
    const linked = pickContacts(random, contactIds, index);
    rows.leads.insert({ ...writeLead(lead, stamp()), contacts: linked });
  }
}

type Stamp = {
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly userId: number;
  readonly updatedBy: number;
};

function createStamp(world: World, random: Random): () => Stamp {
  const users = world.users.list().map(({ id }) => id);
  const now = world.createdAt;
  return () => {
    const createdAt = now - random.below(TWO_YEARS_SECONDS);
    const userId = random.pick(users);
    return {
      createdAt,
      updatedAt: createdAt + random.below(now - createdAt + 1),
      userId,
      updatedBy: random.next() < 0.3 ? 0 : userId,
    };
  };
}

/** Whether and which: some have none, few have two. */
function pickTags(random: Random, ids: readonly number[]): readonly number[] {
  const share = random.next();
  if (share < 0.6) return NO_TAGS;
  const [one, other] = [random.pick(ids), random.pick(ids)];
  return share < 0.9 || one === other ? [one] : [one, other];
}

/** In letters that an address can have. */
const plain = (name: string): string => PLAIN.get(name) ?? '';
const PLAIN: ReadonlyMap<string, string> = new Map(
  [...FIRST_NAMES, ...LAST_NAMES].map((name) => [
    name,
    name
      .normalize('NFD')
      .replace(/[^a-zA-Z]/g, '')
      .toLowerCase(),
  ]),
);

function createContactWriter(world: World, rows: Rows<'contacts'>, random: Random) {
  const tagIds = rows.tagIdsOf(TAGS);
  const fields = world.fields.list('contacts');
  const [phone, email, position] = ['PHONE', 'EMAIL', 'POSITION'].map((code) =>
    fields.find((field) => field.code === code),
  );
  const kind = (field: typeof phone, index: number) => {
    const found = field?.enums[index];
    return found ? { enum_id: found.id, enum_code: found.value } : {};
  };
  let lastPhone = writePhone(random);
  return (template: ContactRow, { createdAt, updatedAt, userId, updatedBy }: Stamp): ContactRow => {
    const [firstName, lastName] = [random.pick(FIRST_NAMES), random.pick(LAST_NAMES)];
    const values = new Map<number, readonly FieldValue[]>();
    if (phone && random.next() < 0.9) {
      // Families share a phone.
      if (random.next() > 0.02) lastPhone = writePhone(random);
      const first = { value: lastPhone, ...kind(phone, 0) };
      const second = { value: writePhone(random), ...kind(phone, 1) };
      values.set(phone.id, random.next() < 0.1 ? [first, second] : [first]);
    }
    if (email && random.next() < 0.5) {
      const value = `${plain(firstName)}.${plain(lastName)}${random.below(1_000)}@example.com`;
      values.set(email.id, [{ value, ...kind(email, 0) }]);
    }
    if (position && random.next() < 0.1) values.set(position.id, [{ value: 'Gerente' }]);
    return {
      ...template,
      id: rows.nextId(),
      name: `${firstName} ${lastName}`,
      firstName,
      lastName,
      responsibleUserId: userId,
      createdBy: userId,
      updatedBy,
      createdAt,
      updatedAt,
      fields: values.size === 0 ? NO_FIELDS : values,
      tagIds: pickTags(random, tagIds),
    };
  };
}

/** Nine digits of Peru that begin with 9, as people type them; one in fifty is no number at all. */
function writePhone(random: Random): string {
  const digits = `9${String(random.below(100_000_000)).padStart(8, '0')}`;
  const [a, b, c] = [digits.slice(0, 3), digits.slice(3, 6), digits.slice(6)];
  const share = random.next();
  if (share < 0.4) return `+51${digits}`;
  if (share < 0.7) return `${a} ${b} ${c}`;
  if (share < 0.85) return digits;
  if (share < 0.98) return `51 ${a}-${b}-${c}`;
  return 'no tiene';
}

function createLeadWriter(world: World, rows: Rows<'leads'>, random: Random) {
  const tagIds = rows.tagIdsOf(TAGS);
  const places = world.pipelines
    .list()
    .flatMap(({ id, stages }) =>
      stages
        .filter(({ type }) => type === 0)
        .map((stage) => ({ pipelineId: id, statusId: stage.id })),
    );
  const reasons = world.lossReasons.list().map(({ id }) => id);
  const fields = world.fields.list('leads');
  const [age, origin, accepts] = ['Edad', 'Origen', 'Acepta'].map((name) =>
    fields.find((field) => field.name === name),
  );
  return (template: LeadRow, { createdAt, updatedAt, userId, updatedBy }: Stamp): LeadRow => {
    const { pipelineId, statusId } = random.pick(places);
    const values = new Map<number, readonly FieldValue[]>();
    if (age && random.next() < 0.4) values.set(age.id, [{ value: String(18 + random.below(50)) }]);
    if (origin && random.next() < 0.5) {
      const { id, value } = random.pick(origin.enums);
      values.set(origin.id, [{ value, enum_id: id, enum_code: null }]);
    }
    if (accepts && random.next() < 0.2) values.set(accepts.id, [{ value: true }]);
    return {
      ...template,
      id: rows.nextId(),
      name: random.next() < 0.05 ? '' : `${random.pick(SUBJECTS)} ${random.pick(LAST_NAMES)}`,
      price: random.next() < 0.4 ? 0 : 50 * random.below(200),
      pipelineId,
      statusId,
      lossReasonId: statusId === LOST ? random.pick(reasons) : null,
      closedAt: isClosed(statusId) ? updatedAt : null,
      responsibleUserId: userId,
      createdBy: userId,
      updatedBy,
      createdAt,
      updatedAt,
      fields: values.size === 0 ? NO_FIELDS : values,
      tagIds: pickTags(random, tagIds),
    };
  };
}

function pickContacts(random: Random, ids: readonly number[], index: number): LeadRow['contacts'] {
  const share = random.next();
  if (ids.length === 0 || share < 0.03) return [];
  const own = share < 0.9 ? ids[index % ids.length] : random.pick(ids);
  const second = share > 0.97 ? random.pick(ids) : own;
  const chosen = [...new Set([own, second])].filter((id) => id !== undefined);
  return chosen.map((id, place) => ({ id, isMain: place === 0 }));
}
