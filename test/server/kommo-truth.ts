import type { ContactRow, FieldValue, FieldValues, LeadRow } from '../../fakes/kommo/model.ts';
import type { World } from '../../fakes/kommo/world.ts';
import { normalizePhone, phoneMatchKey } from '../../domain/phone.ts';

/**
 * What a Kommo account is to be in Postgres, said as simply as it can be and without the code that does it: one entry for
 * each row, by a name that both sides have. `gone`: deleted over there, `away`: in a pipeline that nobody follows; a row
 * of ours in that state stays as it was last seen, or was never made.
 */
export type Truth = ReadonlyMap<string, string>;

export type TruthSetting = {
  readonly followed: ReadonlySet<number>;
  /** Members of ours by e-mail, in small letters. */
  readonly members: ReadonlyMap<string, number>;
};

const COUNTRY = 'PE';
const read = new Map<string, ReturnType<typeof normalizePhone>>();

/** The same few thousand texts again and again. */
function readPhone(text: string): ReturnType<typeof normalizePhone> {
  const phone = read.get(text) ?? normalizePhone(text, COUNTRY);
  read.set(text, phone);
  return phone;
}

export const UNSAID = '?';

/** `before`: what it was; rows that are gone or away keep what hangs on them. */
export function truthOf(world: World, setting: TruthSetting, before: Truth = new Map()): Truth {
  const truth = new Map<string, string>();
  for (const contact of world.contacts.all()) addContact(truth, world, contact);
  for (const lead of world.leads.all()) addLead(truth, world, { lead, setting });
  for (const pipeline of world.pipelines.list()) {
    if (!setting.followed.has(pipeline.id)) continue;
    truth.set(`pipeline ${pipeline.id}`, pipeline.name);
    truth.set(`order ${pipeline.id}`, pipeline.stages.map(({ id }) => id).join(' '));
    for (const stage of pipeline.stages)
      truth.set(
        `stage ${pipeline.id} ${stage.id}`,
        JSON.stringify([stage.name, stage.color.toLowerCase()]),
      );
  }
  for (const entity of ['leads', 'contacts'] as const)
    for (const { name } of world.tags.list(entity)) truth.set(`tag ${name.toLowerCase()}`, '');
  for (const [key, value] of before) if (isFrozen(truth, key)) truth.set(key, value);
  return truth;
}

/** What hangs on a row that is not to be seen. */
export function isFrozen(truth: Truth, key: string): boolean {
  const hanging = /^(lead|contact) \d+(?= )/.exec(key);
  return hanging !== null && ['gone', 'away', undefined].includes(truth.get(hanging[0]));
}

function addContact(truth: Map<string, string>, world: World, contact: ContactRow): void {
  if (contact.isUnsorted) return;
  const key = `contact ${contact.id}`;
  if (contact.isDeleted) {
    truth.set(key, 'gone');
    return;
  }
  const definitions = world.fields.list('contacts');
  const idOf = (code: string): number => definitions.find((field) => field.code === code)?.id ?? 0;
  const texts = (code: string): string[] =>
    (contact.fields.get(idOf(code)) ?? []).map(({ value }) => String(value));
  const phones = texts('PHONE').map((text) => ({ text, phone: readPhone(text) }));
  const numbers = phones.flatMap(({ phone }) => (phone.ok ? [phone.e164] : []));
  const [email = null, ...emails] = texts('EMAIL');
  const rest = new Map<number, readonly FieldValue[]>([
    ...contact.fields,
    [idOf('PHONE'), phones.flatMap(({ text, phone }) => (phone.ok ? [] : [{ value: text }]))],
    [idOf('EMAIL'), emails.map((value) => ({ value }))],
  ]);
  const full = contact.name || [contact.firstName, contact.lastName].filter(Boolean).join(' ');
  const said = {
    name: full || null,
    lastName: contact.lastName || null,
    email,
    phone: numbers[0] ?? null,
    fields: fieldsOf(world, 'contacts', rest),
  };
  truth.set(key, JSON.stringify(said));
  for (const number of numbers) truth.set(`${key} phone ${phoneMatchKey(number)}`, '');
  for (const name of tagsOf(world, 'contacts', contact.tagIds)) truth.set(`${key} tag ${name}`, '');
}

type Placed = { readonly lead: LeadRow; readonly setting: TruthSetting };

function addLead(truth: Map<string, string>, world: World, { lead, setting }: Placed): void {
  if (lead.isUnsorted) return;
  const key = `lead ${lead.id}`;
  if (lead.isDeleted || !setting.followed.has(lead.pipelineId)) {
    truth.set(key, lead.isDeleted ? 'gone' : 'away');
    return;
  }
  const isClosed = lead.statusId === 142 || lead.statusId === 143;
  const reason = lead.lossReasonId === null ? undefined : world.lossReasons.get(lead.lossReasonId);
  const owner = world.settings.isAdministrator
    ? setting.members.get(world.users.get(lead.responsibleUserId)?.email.toLowerCase() ?? '')
    : undefined;
  const [main] = lead.contacts;
  const isSeen = main && world.contacts.get(main.id)?.isDeleted === false;
  const title = lead.name || `Lead #${lead.id}`;
  const said = {
    title,
    value: lead.price.toFixed(2),
    currency: world.currency,
    pipeline: lead.pipelineId,
    stage: lead.statusId,
    owner: owner ?? null,
    reason: isClosed ? (reason?.name ?? null) : null,
    closedAt: isClosed ? lead.closedAt : null,
    fields: fieldsOf(world, 'leads', lead.fields),
    // Of one that is gone nobody can say whether we ever knew it.
    contact: main && !isSeen ? UNSAID : (main?.id ?? null),
  };
  truth.set(key, JSON.stringify(said));
  if (!main) truth.set(`${key} own contact`, title);
  for (const name of tagsOf(world, 'leads', lead.tagIds)) truth.set(`${key} tag ${name}`, '');
}

function tagsOf(world: World, entity: 'leads' | 'contacts', ids: readonly number[]): string[] {
  return ids.flatMap((id) => world.tags.get(entity, id)?.name.toLowerCase() ?? []);
}

const DAY = 86_400;

/** By name, in the order of names. */
function fieldsOf(
  world: World,
  entity: 'leads' | 'contacts',
  values: FieldValues,
): [string, unknown][] {
  const named = world.fields.list(entity).flatMap(({ id, name, type }): [string, unknown][] => {
    const said = (values.get(id) ?? []).map(({ value }) => {
      if (type === 'date' || type === 'birthday')
        return new Date(Math.ceil(Number(value) / DAY - 0.5) * DAY * 1_000)
          .toISOString()
          .slice(0, 10);
      if (type === 'date_time') return new Date(Number(value) * 1_000).toISOString();
      return value;
    });
    if (said.length === 0) return [];
    const isList = type === 'multiselect' || type === 'multitext';
    return [[name, isList ? said : said[0]]];
  });
  return named.toSorted(([one], [other]) => (one < other ? -1 : 1));
}

/** Tables whose rows are counted, by the last word of a row's name before its numbers. */
export function tableOf(key: string): string | undefined {
  const [entity, , what] = key.split(' ');
  if (what === 'phone' || entity === 'order') return undefined;
  if (what === 'own') return 'contacts';
  if (entity === 'lead') return what === 'tag' ? 'lead_tags' : 'leads';
  if (entity === 'contact') return what === 'tag' ? 'contact_tags' : 'contacts';
  if (entity === 'tag') return 'tags';
  return entity === 'pipeline' ? 'pipelines' : 'pipeline_stages';
}

export function sharedIn(truth: Truth): Set<string> {
  const [once, twice] = [new Set<string>(), new Set<string>()];
  for (const key of truth.keys()) {
    const [, , what, phone = ''] = key.split(' ');
    if (what !== 'phone') continue;
    if (once.has(phone)) twice.add(phone);
    once.add(phone);
  }
  return twice;
}

/** Counts, row by row, how often the truth has changed. */
export class Ledger {
  readonly #world: World;
  readonly #setting: TruthSetting;
  #truth: Truth;
  #changes = new Map<string, number>();
  hasLostStages = false;
  /** Phones that two contacts have, or had: they lead to one of them, or to nobody once that one has given it up. */
  readonly shared = new Set<string>();

  constructor(world: World, setting: TruthSetting) {
    this.#world = world;
    this.#setting = setting;
    this.#truth = truthOf(world, setting);
    for (const phone of sharedIn(this.#truth)) this.shared.add(phone);
  }

  get truth(): Truth {
    return this.#truth;
  }

  /** After each edit. */
  note(): void {
    const before = this.#truth;
    const after = truthOf(this.#world, this.#setting, before);
    for (const key of new Set([...before.keys(), ...after.keys()])) {
      if (before.get(key) === after.get(key)) continue;
      this.hasLostStages ||= key.startsWith('stage ') && !after.has(key);
      this.#changes.set(key, (this.#changes.get(key) ?? 0) + 1);
    }
    this.#truth = after;
    for (const phone of sharedIn(after)) this.shared.add(phone);
  }

  /** Real changes since it was last asked, by row. */
  take(): ReadonlyMap<string, number> {
    const changes = this.#changes;
    this.#changes = new Map();
    return changes;
  }
}
