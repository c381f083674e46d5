import type { Core } from './core.ts';
import type { FieldDefinitionInput, FieldInput } from './inputs.ts';
import { ENTITIES, mustFind, WorldError } from './model.ts';
import type { EntityName, FieldValue, FieldValues } from './model.ts';

type FieldEnum = { readonly id: number; readonly value: string; readonly sort: number };
export type FieldDefinition = {
  readonly id: number;
  readonly name: string;
  readonly code: string | null;
  readonly type: string;
  readonly sort: number;
  readonly enums: readonly FieldEnum[];
};

const TIMES: readonly string[] = ['date', 'date_time', 'birthday'];
const CHOICES: readonly string[] = ['select', 'radiobutton', 'category', 'multiselect'];
/** Nested or unknown: given as the API writes them. */
const RAW: readonly string[] = ['smart_address', 'legal_entity', 'file', 'linked_entity'];
const FIELDS_OF_A_ROW_MAX = 500;

/** The custom fields of an account, and what may be in them. */
export class Fields {
  readonly #core: Core;
  readonly #definitions = { leads: new Map(), contacts: new Map() } as Record<
    EntityName,
    Map<number, FieldDefinition>
  >;

  constructor(core: Core) {
    this.#core = core;
  }

  define(input: FieldDefinitionInput): FieldDefinition {
    const definitions = this.#definitions[input.entity];
    if (definitions.size >= FIELDS_OF_A_ROW_MAX) throw new WorldError('too many fields');
    const definition: FieldDefinition = {
      id: this.#core.nextId('field'),
      name: input.name,
      code: input.code ?? null,
      type: input.type,
      sort: 500 + definitions.size,
      enums: (input.enums ?? []).map((value, index) => ({
        id: this.#core.nextId('enum'),
        value,
        sort: index + 1,
      })),
    };
    definitions.set(definition.id, definition);
    return definition;
  }

  /** Rows keep their values and show the new name from now on, their `updated_at` as it was. */
  rename(id: number, name: string): void {
    const [definitions, definition] = this.#find(id);
    definitions.set(id, { ...definition, name });
  }

  /** Rows lose their values of it, their `updated_at` as it was. */
  remove(id: number): void {
    const [definitions] = this.#find(id);
    definitions.delete(id);
  }

  list(entity: EntityName): FieldDefinition[] {
    return [...this.#definitions[entity].values()];
  }

  get(entity: EntityName, id: number): FieldDefinition | undefined {
    return this.#definitions[entity].get(id);
  }

  /** @throws WorldError for a field that is not there, or a choice it does not offer. */
  apply(
    entity: EntityName,
    before: FieldValues,
    patch: Readonly<Record<string, FieldInput>>,
  ): FieldValues {
    const after = new Map(before);
    for (const [key, input] of Object.entries(patch)) {
      const definition = mustFind(
        this.list(entity).find(
          ({ id, name, code }) => String(id) === key || name === key || code === key,
        ),
        `field ${key} of ${entity}`,
      );
      const values = toValues(definition, input);
      if (values.length === 0) after.delete(definition.id);
      else after.set(definition.id, values);
    }
    return after;
  }

  #find(id: number): [Map<number, FieldDefinition>, FieldDefinition] {
    for (const entity of ENTITIES) {
      const definition = this.#definitions[entity].get(id);
      if (definition) return [this.#definitions[entity], definition];
    }
    throw new WorldError(`there is no field ${id}`);
  }
}

function toValues(definition: FieldDefinition, input: FieldInput): FieldValue[] {
  if (input === null) return [];
  const list = Array.isArray(input) ? input : [input];
  return list.map((each, index): FieldValue => {
    if (typeof each === 'object') {
      const { value, enum_id, enum_code } = each;
      return {
        value,
        ...(enum_id !== undefined && { enum_id }),
        ...(enum_code !== undefined && { enum_code }),
      };
    }
    return toValue(definition, each, index);
  });
}

/** Numbers leave as text, times as Unix seconds, a tick as a boolean: Kommo writes them so. */
function toValue(
  definition: FieldDefinition,
  input: string | number | boolean,
  index: number,
): FieldValue {
  const { type, name, enums } = definition;
  if (type === 'checkbox') return { value: Boolean(input) };
  if (TIMES.includes(type)) return { value: Number(input) };
  if (RAW.includes(type)) return { value: input };
  if (CHOICES.includes(type)) {
    const choice = mustFind(
      enums.find(({ value }) => value === String(input)),
      `choice ${String(input)} of ${name}`,
    );
    return { value: choice.value, enum_id: choice.id, enum_code: null };
  }
  if (type === 'multitext') {
    const kind = enums[Math.min(index === 0 ? 0 : 1, enums.length - 1)];
    return {
      value: String(input),
      ...(kind && { enum_id: kind.id, enum_code: kind.value }),
    };
  }
  return { value: String(input) };
}

/** Whether two sets of values are the same to a reader. */
export function areSameFields(a: FieldValues, b: FieldValues): boolean {
  return changedFields(a, b).length === 0;
}

/** Ids of the fields whose values differ. */
export function changedFields(a: FieldValues, b: FieldValues): number[] {
  const ids = new Set([...a.keys(), ...b.keys()]);
  return [...ids].filter((id) => {
    const [one, other] = [a.get(id), b.get(id)];
    return one !== other && JSON.stringify(one) !== JSON.stringify(other);
  });
}
