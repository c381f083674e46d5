import { describe, expect, it } from 'vitest';
import { guessMapping, mappingSchema, mapRecord } from '../../../platform/csv/mapping.ts';

const guessed = (...header: string[]): (string | undefined)[] => {
  const { columns } = guessMapping(header);
  return header.map((_, index) => columns.find((column) => column.index === index)?.field);
};

describe('a guessed mapping', () => {
  it.each([
    ['name', ['Nombre', 'NOMBRES', 'Nombre completo', 'First Name', 'full_name', 'name']],
    ['last_name', ['Apellido', 'apellidos', 'Last Name', 'lastName', 'Surname']],
    ['phone', ['Teléfono', 'telefono', 'Celular', 'WhatsApp', 'Móvil', 'Phone', 'mobile']],
    ['phone', ['Número de teléfono', 'Phone 1 - Value', 'Nº celular', 'phoneNumber', 'Tel.']],
    ['email', ['Correo', 'Correo electrónico', 'E-mail', 'Email', 'E-mail 1 - Value']],
    ['company', ['Empresa', 'Compañía', 'Company', 'Organization Name']],
    ['tags', ['Etiquetas', 'Tags', 'Labels']],
    ['notes', ['Notas', 'Observaciones', 'Notes']],
    ['age', ['Edad', 'Age']],
    ['custom_name', ['custom_name']],
    ['do_not_contact', ['do_not_contact']],
  ])('knows %s by its names in Spanish and English', (field, headers) => {
    for (const header of headers) expect([header, ...guessed(header)]).toEqual([header, field]);
  });

  it('makes a custom field of a header it does not know, and of a second one for the same field', () => {
    expect(guessed('DNI', 'Teléfono', 'Celular', '  Distrito ', '', 'custom_fields.plan')).toEqual([
      'custom_fields.DNI',
      'phone',
      'custom_fields.Celular',
      'custom_fields.Distrito',
      undefined,
      'custom_fields.plan',
    ]);
  });

  it('leaves out what our own export has and nobody may set', () => {
    expect(guessed('id', 'display_name', 'created_at', 'name', 'custom_fields')).toEqual([
      undefined,
      undefined,
      undefined,
      'name',
      undefined,
    ]);
  });

  it('is a mapping that is valid, whatever the header', () => {
    const headers = [
      'Tags',
      'Etiquetas',
      'DNI',
      'DNI',
      'x'.repeat(300),
      'age',
      '__proto__',
      '\ud800',
    ];
    const mapping = guessMapping(headers);
    expect(mappingSchema.parse(mapping)).toEqual(mapping);
    expect(mapping.columns.map(({ index }) => index)).toEqual([0, 1, 2, 5, 6]);
  });
});

describe('a mapping', () => {
  const columns = (...fields: [number, string][]): unknown => ({
    columns: fields.map(([index, field]) => ({ index, field })),
  });

  it.each([
    ['no columns', columns()],
    ['a column that nobody may set', columns([0, 'display_name'])],
    ['a column that there is not', columns([0, 'nmae'])],
    ['all custom fields at once', columns([0, 'custom_fields'])],
    ['a custom field without a name', columns([0, 'custom_fields.'])],
    ['a name of blanks', columns([0, 'custom_fields.  '])],
    ['a custom field with NUL', columns([0, 'custom_fields.a\0'])],
    ['one column twice', columns([0, 'name'], [0, 'notes'])],
    ['one field twice', columns([0, 'name'], [1, 'name'])],
    ['a negative index', columns([-1, 'name'])],
    ['an index beyond the columns a file may have', columns([500, 'name'])],
    ['a member it does not know', { columns: [{ index: 0, field: 'name', extra: 1 }] }],
  ])('is refused with %s', (_, mapping) => {
    expect(mappingSchema.safeParse(mapping).success).toBe(false);
  });

  it('may take tags from several columns', () => {
    expect(mappingSchema.safeParse(columns([0, 'tags'], [1, 'tags'], [2, 'name'])).success).toBe(
      true,
    );
  });

  it('makes of a record what it says about a contact, without blanks and apostrophes', () => {
    const mapping = mappingSchema.parse(
      columns([0, 'name'], [1, 'tags'], [2, 'tags'], [3, 'custom_fields.__proto__'], [9, 'notes']),
    );
    const record = mapRecord(mapping, [" '=Ana", 'VIP; Lima,vip', 'new|Lima', ' 12 ', 'unmapped']);
    expect(record).toEqual({
      contact: { name: "'=Ana" },
      tags: ['VIP', 'Lima', 'new'],
      customFields: Object.fromEntries([['__proto__', '12']]),
    });
    expect(mapRecord(mapping, ["'=Ana", ' '])).toEqual({
      contact: { name: '=Ana' },
      tags: [],
      customFields: {},
    });
  });
});
