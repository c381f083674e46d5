import { LossReasons, Tags, Users } from './catalogue.ts';
import type { Clock } from './clock.ts';
import { Contacts } from './contacts.ts';
import { createIds, FIRST_ACCOUNT_ID, type Core } from './core.ts';
import { eventsOf } from './event-kinds.ts';
import { Events } from './events.ts';
import { Fields } from './fields.ts';
import type { AccountInput, ContactInput, GenerateInput, LeadInput } from './inputs.ts';
import { Leads } from './leads.ts';
import type { Change, EntityName, RowOf } from './model.ts';
import { Pipelines } from './pipelines.ts';
import { createRandom, shareOf } from './random.ts';
import { drawListedFrom, Rows } from './rows.ts';
import { furnish, generate } from './seed.ts';
import { worldSettings, type WorldSettings, type WorldSettingsInput } from './settings.ts';
import { Tokens } from './tokens.ts';
import { Unsorted } from './unsorted.ts';
import { webhookOfIncoming, webhooksOf } from './webhook-kinds.ts';
import { Webhooks } from './webhooks.ts';

type Options = {
  readonly account: AccountInput;
  /** 0 for the first account of a fake. */
  readonly index: number;
  readonly seed: number;
  readonly clock: Clock;
  readonly wireClock: Clock;
  readonly clientId: string;
  /** @throws WorldError when the new address is another account's. */
  readonly rename: (from: string, to: string) => void;
};

type BulkEdit<E extends EntityName> = {
  readonly ids?: readonly number[] | undefined;
  readonly count?: number | undefined;
  readonly patch?: (E extends 'leads' ? LeadInput : ContactInput) | undefined;
  readonly by?: number | undefined;
};

/**
 * One account of Kommo's: everything that is in it, and how it answers. What happens here is told to events and webhooks and
 * seen by the API. It is the truth a client is compared with: its rows are as they are, whatever the lists show by now.
 */
export class World {
  readonly id: number;
  readonly name: string;
  readonly country: string;
  readonly currency: string;
  readonly currencySymbol: string;
  readonly createdAt: number;
  /** May be set at any time; the next request is answered so. */
  readonly settings: WorldSettings;
  readonly users: Users;
  readonly tags: Tags;
  readonly pipelines: Pipelines;
  readonly fields: Fields;
  readonly lossReasons: LossReasons;
  readonly leads: Leads;
  readonly contacts: Contacts;
  readonly unsorted: Unsorted;
  readonly events: Events;
  readonly webhooks: Webhooks;
  readonly tokens: Tokens;
  readonly #core: Core;
  readonly #rows: { readonly leads: Rows<'leads'>; readonly contacts: Rows<'contacts'> };
  readonly #seed: number;
  readonly #rename: Options['rename'];
  readonly #clock: Clock;
  #momentMs: number | undefined;
  #subdomain: string;

  constructor(options: Options) {
    const { account, index, clock, wireClock } = options;
    this.id = FIRST_ACCOUNT_ID + index;
    this.#subdomain = account.subdomain;
    this.name = account.name ?? account.subdomain;
    this.country = account.country ?? 'PE';
    this.currency = account.currency ?? 'PEN';
    this.currencySymbol = account.currencySymbol ?? 'S/';
    this.settings = worldSettings.parse({});
    // Another account of the same seed is another one.
    this.#seed = options.seed + index;
    this.#rename = options.rename;
    this.#clock = clock;
    const core = (this.#core = this.#createCore(clock, index));
    this.createdAt = core.seconds();
    this.users = new Users(core);
    this.tags = new Tags(core);
    this.fields = new Fields(core);
    this.lossReasons = new LossReasons(core);
    this.pipelines = new Pipelines(core, (from, to) => this.leads.relocate(from, to));
    this.events = new Events(core);
    this.webhooks = new Webhooks(core, wireClock, () => this.#subdomain);
    this.#rows = {
      leads: new Rows('leads', core, this.tags),
      contacts: new Rows('contacts', core, this.tags),
    };
    const firstUserId = (): number => this.users.first.id;
    this.contacts = new Contacts({
      core,
      rows: this.#rows.contacts,
      fields: this.fields,
      firstUserId,
      relink: (from, to, by) => this.leads.relink(from, to, by),
    });
    this.leads = new Leads({
      core,
      rows: this.#rows.leads,
      fields: this.fields,
      pipelines: this.pipelines,
      firstUserId,
      hasContact: (id) => this.contacts.get(id) !== undefined,
    });
    this.unsorted = new Unsorted({
      core,
      leads: this.leads,
      contacts: this.contacts,
      pipelines: this.pipelines,
      leadRows: this.#rows.leads,
      contactRows: this.#rows.contacts,
      tell: (outcome) => this.webhooks.tell([webhookOfIncoming(outcome)]),
    });
    this.tokens = new Tokens({
      clock,
      random: createRandom(this.#seed, 'tokens'),
      settings: this.settings,
      accountId: this.id,
      userId: firstUserId,
      clientId: options.clientId,
      key: `fake kommo ${options.seed} ${this.id}`,
    });
    furnish(this);
  }

  get subdomain(): string {
    return this.#subdomain;
  }

  /** The client renames its account: the old address is nobody's, the tokens stay good. */
  rename(subdomain: string): void {
    this.#rename(this.#subdomain, subdomain);
    this.#subdomain = subdomain;
  }

  set(settings: WorldSettingsInput): void {
    Object.assign(this.settings, worldSettings.parse({ ...this.settings, ...settings }));
  }

  /** Rows that have been there for long, without events and webhooks: the same for the same seed and time. */
  generate(input: GenerateInput): void {
    const { leads = 0, contacts = 0, seed = this.#seed } = input;
    generate(this, this.#rows, { leads, contacts, random: createRandom(seed, 'rows') });
  }

  /** What is done inside happens within one second, though the clock may go on. */
  atOnce<T>(run: () => T): T {
    const outer = this.#momentMs;
    this.#momentMs ??= this.#clock.now();
    try {
      return run();
    } finally {
      this.#momentMs = outer;
    }
  }

  /**
   * Many rows change within one second, as by a person's bulk action: those of `ids`, else `count` that the seed chooses.
   * Without a patch each gets a name of its own, so that each really changes. Gives the ids.
   */
  bulkEdit<E extends EntityName>(entity: E, edit: BulkEdit<E>): number[] {
    const { count = Infinity, patch, by = 0 } = edit;
    const ids = edit.ids ?? this.#choose(entity, count);
    this.atOnce(() => {
      for (const id of ids) {
        const name = `${entity === 'leads' ? 'Lead' : 'Contacto'} #${this.#rows[entity].edits + 1}`;
        this[entity].update(id, { ...(patch ?? { name }), by });
      }
    });
    return [...ids];
  }

  /** As the lists show them now, ascending: with the trash, without what is hidden and what is not accepted. */
  listed<E extends EntityName>(entity: E, order: 'id' | 'updated_at' | 'created_at') {
    const rows = this.#rows[entity] as unknown as Rows<E>;
    return rows.table.listed(order, this.#core.clock.now());
  }

  /** Lost from sight by a change of rights. */
  isHidden(row: RowOf<EntityName>): boolean {
    return shareOf(row.id, this.#seed) < this.settings.hiddenShare;
  }

  /** A number for this request: draws, so that the same run has the same ones. */
  draw(limit: number): number {
    return this.#core.random.below(limit);
  }

  stop(): void {
    this.webhooks.stop();
  }

  #choose(entity: EntityName, count: number): number[] {
    const there = [...this.#rows[entity].table.rows()].filter(
      (row) => !row.isDeleted && !row.isUnsorted,
    );
    if (count >= there.length) return there.map(({ id }) => id);
    const salt = this.#core.random.below(0x7fffffff);
    const shares = there.map(({ id }) => ({ id, share: shareOf(id, salt) }));
    shares.sort((a, b) => a.share - b.share);
    return shares.slice(0, count).map(({ id }) => id);
  }

  #createCore(clock: Clock, index: number): Core {
    const random = createRandom(this.#seed, 'world');
    const { settings } = this;
    return {
      clock,
      random,
      settings,
      accountId: this.id,
      nextId: createIds(index),
      seconds: () => Math.floor((this.#momentMs ?? clock.now()) / 1_000),
      listedFromMs: () => drawListedFrom({ clock, random, settings }),
      tell: (change) => this.#tell(change),
    };
  }

  #tell(change: Change): void {
    const tag = (entity: EntityName, id: number) => this.tags.get(entity, id)?.name;
    const field = (entity: EntityName, id: number) => this.fields.get(entity, id);
    const fieldType = (entity: EntityName, id: number) => field(entity, id)?.type ?? 'text';
    this.events.record(eventsOf(change, { tag, fieldType }), change.by);
    if (!this.webhooks.isEmpty) {
      this.webhooks.tell(webhooksOf(change, { accountId: this.id, tag, field }));
    }
  }
}
