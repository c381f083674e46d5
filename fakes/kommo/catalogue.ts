import type { Core } from './core.ts';
import type { UserInput } from './inputs.ts';
import { mustFind, WorldError } from './model.ts';
import type { EntityName } from './model.ts';

type Tag = { readonly id: number; readonly name: string; readonly color: string | null };

/** Leads and contacts have tags of their own: the same name is another id there. */
export class Tags {
  readonly #core: Core;
  readonly #tags: Readonly<Record<EntityName, Map<number, Tag>>> = {
    leads: new Map(),
    contacts: new Map(),
  };

  constructor(core: Core) {
    this.#core = core;
  }

  list(entity: EntityName): Tag[] {
    return [...this.#tags[entity].values()];
  }

  get(entity: EntityName, id: number): Tag | undefined {
    return this.#tags[entity].get(id);
  }

  find(entity: EntityName, name: string): Tag | undefined {
    return this.list(entity).find((tag) => tag.name === name);
  }

  /** The one of that name, or a new one. */
  ensure(entity: EntityName, name: string): Tag {
    return this.find(entity, name) ?? this.add(entity, name);
  }

  /** @throws WorldError when there is one of that name. */
  add(entity: EntityName, name: string, color: string | null = null): Tag {
    if (this.find(entity, name)) throw new WorldError(`there is a tag ${name} already`);
    const tag = { id: this.#core.nextId('tag'), name, color };
    this.#tags[entity].set(tag.id, tag);
    return tag;
  }

  /** Name or colour. The rows that have it show it so from now on, their `updated_at` as it was. */
  update(
    entity: EntityName,
    id: number,
    patch: { name?: string | undefined; color?: string | null | undefined },
  ): Tag {
    const before = mustFind(this.#tags[entity].get(id), `tag ${id} of ${entity}`);
    const after = {
      id,
      name: patch.name ?? before.name,
      color: patch.color === undefined ? before.color : patch.color,
    };
    this.#tags[entity].set(id, after);
    return after;
  }

  /** The rows that have it lose it, their `updated_at` as it was. */
  remove(entity: EntityName, id: number): void {
    if (!this.#tags[entity].delete(id)) throw new WorldError(`there is no tag ${id} of ${entity}`);
  }
}

type User = {
  readonly id: number;
  readonly name: string;
  readonly email: string;
  readonly isAdmin: boolean;
  readonly isActive: boolean;
};

export class Users {
  readonly #core: Core;
  readonly #users = new Map<number, User>();

  constructor(core: Core) {
    this.#core = core;
  }

  list(): User[] {
    return [...this.#users.values()];
  }

  get(id: number): User | undefined {
    return this.#users.get(id);
  }

  /** The one that made the account. */
  get first(): User {
    return mustFind(this.list()[0], 'user');
  }

  add(input: UserInput): User {
    const { name, email, isAdmin = false, isActive = true } = input;
    const user = { id: this.#core.nextId('user'), name, email, isAdmin, isActive };
    this.#users.set(user.id, user);
    return user;
  }

  update(id: number, patch: { [Key in keyof UserInput]?: UserInput[Key] | undefined }): User {
    const before = mustFind(this.#users.get(id), `user ${id}`);
    const user: User = {
      id,
      name: patch.name ?? before.name,
      email: patch.email ?? before.email,
      isAdmin: patch.isAdmin ?? before.isAdmin,
      isActive: patch.isActive ?? before.isActive,
    };
    this.#users.set(id, user);
    return user;
  }

  /** What this user was responsible for still names the id. */
  remove(id: number): void {
    if (this.#users.size === 1) throw new WorldError('an account has one user at least');
    if (!this.#users.delete(id)) throw new WorldError(`there is no user ${id}`);
  }
}

type LossReason = { readonly id: number; readonly name: string; readonly createdAt: number };

export class LossReasons {
  readonly #core: Core;
  readonly #reasons = new Map<number, LossReason>();

  constructor(core: Core) {
    this.#core = core;
  }

  list(): LossReason[] {
    return [...this.#reasons.values()];
  }

  get(id: number): LossReason | undefined {
    return this.#reasons.get(id);
  }

  add(name: string): LossReason {
    const reason = { id: this.#core.nextId('lossReason'), name, createdAt: this.#core.seconds() };
    this.#reasons.set(reason.id, reason);
    return reason;
  }

  rename(id: number, name: string): void {
    this.#reasons.set(id, { ...mustFind(this.#reasons.get(id), `loss reason ${id}`), name });
  }

  remove(id: number): void {
    if (!this.#reasons.delete(id)) throw new WorldError(`there is no loss reason ${id}`);
  }
}
