import { describe, expect, expectTypeOf, it } from 'vitest';
import { contacts } from '../../domain/entities/contacts.ts';
import type { leads } from '../../domain/entities/leads.ts';
import {
  createSchema,
  patchSchema,
  publishedColumns,
  rowSchema,
  type RowOf,
} from '../../domain/entity.ts';
import { ENTITIES, mustFindEntity } from '../../domain/registry.ts';

describe('what follows from a declaration', () => {
  it('is the type of a row: what may be null may be absent', () => {
    expectTypeOf<RowOf<typeof leads>['title']>().toEqualTypeOf<string>();
    expectTypeOf<RowOf<typeof leads>['assigned_to']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<RowOf<typeof leads>['custom_fields']>().toEqualTypeOf<Record<string, unknown>>();
  });

  it('is the schema of its bodies: unknown members are refused, null clears', () => {
    const create = createSchema(contacts);
    expect(create.safeParse({ name: 'A' }).success).toBe(true);
    expect(create.safeParse({ nmae: 'A' }).success).toBe(false);
    expect(create.safeParse({ account_id: 2 }).success).toBe(false);
    expect(create.safeParse({ name: 'nul \0' }).success).toBe(false);
    const patch = patchSchema(contacts);
    expect(patch.safeParse({ email: null }).success).toBe(true);
    expect(patch.safeParse({ custom_fields: null }).success).toBe(false);
    expect(patch.safeParse({}).success).toBe(false);
  });

  it('never shows a secret', () => {
    const users = mustFindEntity('users');
    for (const secret of ['password_hash', 'failed_logins', 'locked_until']) {
      expect(publishedColumns(users)).not.toContain(secret);
      expect(Object.keys(rowSchema(users).shape)).not.toContain(secret);
    }
  });

  it('points only to tables and columns that exist', () => {
    for (const entity of ENTITIES) {
      for (const embed of Object.values(entity.embeds)) {
        const shown = mustFindEntity(embed.table);
        for (const name of embed.columns) expect(shown.columns).toHaveProperty(name);
        const linking = embed.kind === 'many' ? mustFindEntity(embed.through) : undefined;
        if (linking && embed.kind === 'many') expect(linking.identity).toContain(embed.owner);
      }
    }
  });
});
