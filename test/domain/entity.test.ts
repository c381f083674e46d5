import { describe, expect, expectTypeOf, it } from 'vitest';
import { timestamp } from '../../domain/column.ts';
import { contacts } from '../../domain/entities/contacts.ts';
import type { leads } from '../../domain/entities/leads.ts';
import {
  createSchema,
  defineEntity,
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

  it('lets a filter give way only to another one that hides rows', () => {
    const declare = (unless: string) =>
      defineEntity({
        table: 'letters',
        singular: 'letter',
        columns: { read_at: timestamp({ nullable: true }), lost_at: timestamp({ nullable: true }) },
        list: {
          filters: {
            read: { kind: 'present', column: 'read_at', unless },
            lost: { kind: 'present', column: 'lost_at' },
            created: { kind: 'range', column: 'created_at' },
          },
          search: [],
          sorts: ['created_at'],
          sort: 'created_at',
          order: 'asc',
        },
      });
    expect(() => declare('lost')).not.toThrow();
    for (const other of ['created', 'nothing'])
      expect(() => declare(other)).toThrow('is not a present filter');
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
