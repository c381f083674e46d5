import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mapContact } from '../../server/kommo/map-contact.ts';
import { mapCustomFields } from '../../server/kommo/map-custom-fields.ts';
import { mapLead, type LeadWorld } from '../../server/kommo/map-lead.ts';
import { judgeLook, newestLooks, type KnownLook } from '../../server/kommo/map-looks.ts';
import { mapPipelines } from '../../server/kommo/map-pipelines.ts';
import { mapColor, mapDay, mapText, mapTime, mapValue } from '../../server/kommo/map-values.ts';
import {
  contactDocument,
  field,
  leadDocument,
  pipelineDocument,
  T,
} from './kommo-apply-documents.ts';

const fieldsOf = (...fields: ReturnType<typeof field>[]) =>
  Object.fromEntries(mapCustomFields(fields));

describe('values of Kommo', () => {
  it.each([
    [null, '0.00'],
    [1200, '1200.00'],
    [0.125, '0.13'],
    [-5, '0.00'],
    [1e300, '999999999999.99'],
    [999_999_999_999.99, '999999999999.99'],
  ])('a price of %s is %s', (price, value) => {
    expect(mapValue(price)).toBe(value);
  });

  it.each([
    ['#CCFF66', '#ccff66'],
    ['EBEBEB', '#ebebeb'],
    [' #99ccff ', '#99ccff'],
    ['#fff', undefined],
    ['red', undefined],
    [null, undefined],
  ])('the colour %s is %s', (color, mapped) => {
    expect(mapColor(color)).toBe(mapped);
  });

  it.each([
    ['at midnight of UTC', 1_795_305_600, '2026-11-22'],
    ['at midnight of Lima', 1_795_305_600 + 5 * 3600, '2026-11-22'],
    ['at midnight of Madrid', 1_795_305_600 - 3600, '2026-11-22'],
    ['before 1970', -86_400 * 365, '1969-01-01'],
  ])('a day that begins %s is that day', (_says, seconds, day) => {
    expect(mapDay(seconds)).toBe(day);
  });

  it('times are printed with four digits of a year, whatever they are', () => {
    expect(mapTime(1_795_300_000)).toBe('2026-11-21T22:26:40.000Z');
    expect(mapTime(Number.MAX_SAFE_INTEGER)).toBe('9999-12-31T23:59:59.000Z');
    expect(mapTime(Number.MIN_SAFE_INTEGER)).toBe('0001-01-01T00:00:00.000Z');
  });

  it('texts are without NUL and halves of characters, and cut between characters', () => {
    expect(mapText('a\0b\ud800', 10)).toBe('ab\ufffd');
    expect(mapText('😀😀😀', 2)).toBe('😀😀');
    expect(mapText(' \0 ', 10)).toBeUndefined();
    expect(mapText(null, 10)).toBeUndefined();
  });
});

describe('custom fields of Kommo', () => {
  it('are values by their names', () => {
    expect(
      fieldsOf(
        field('Edad', '34', 'numeric'),
        field('Cursos', ['Ingles', 'Excel']),
        field('Inicio', 1_795_305_600, 'date'),
        field('Llamada', 1_795_340_000, 'date_time'),
        field('Nacimiento', -86_400, 'birthday'),
        field('Acepta', true, 'checkbox'),
        field('Niega', false, 'checkbox'),
        field('Vacio', '', 'text'),
        field('Nada', null, 'text'),
        field('Cuando', 'tomorrow', 'date'),
        field('Ficha', { file_uuid: 'x', b: 1, a: 2 }, 'file'),
      ),
    ).toEqual({
      Edad: '34',
      Cursos: ['Ingles', 'Excel'],
      Inicio: '2026-11-22',
      Llamada: '2026-11-22T09:33:20.000Z',
      Nacimiento: '1969-12-31',
      Acepta: true,
      Niega: false,
      Cuando: 'tomorrow',
      Ficha: { file_uuid: 'x', a: 2, b: 1 },
    });
  });

  it('are lists where there may be several, and of types that we do not know as they come', () => {
    const one = { ...field('Uno', ['x']), field_type: 'multiselect' };
    const im = { ...field('IM', ['x']), field_type: 'multitext' };
    const two = { ...field('Raro', [{ a: 1 }, { b: 2 }]), field_type: 'quantum' };
    expect(fieldsOf(one, im, two)).toEqual({ Uno: ['x'], IM: ['x'], Raro: [{ a: 1 }, { b: 2 }] });
  });

  it('of one name are told apart by their ids, whatever their order', () => {
    const first = { ...field('Edad', '1'), field_id: 5 };
    const second = { ...field('Edad', '2'), field_id: 9 };
    expect(fieldsOf(first, second)).toEqual({ Edad: '1', 'Edad (9)': '2' });
    expect(fieldsOf(second, first)).toEqual({ Edad: '1', 'Edad (9)': '2' });
    expect(fieldsOf({ ...field('\0', 'x'), field_id: 7 })).toEqual({ 'Field 7': 'x' });
  });

  it('print as at most 60,000 bytes of JSON, whatever they hold', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.string({ unit: 'binary', maxLength: 300 }), fc.jsonValue({ maxDepth: 12 })),
        ),
        fc.nat(20_000),
        (entries, length) => {
          const all = [...entries, ['long', 'é"\u0001'.repeat(length)] as const];
          const fields = all.map(([name, value], id) => ({
            ...field(name, value, 'text'),
            field_id: id + 1,
          }));
          const json = JSON.stringify(fieldsOf(...fields));
          expect(Buffer.byteLength(json)).toBeLessThanOrEqual(60_000);
          expect(json).not.toMatch(/\\u0000|\\ud[89a-f]/i);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('a contact of Kommo', () => {
  const map = (given: Partial<Parameters<typeof contactDocument>[0]>, country = 'PE') =>
    mapContact(contactDocument({ id: 1, ...given }), country);

  it('has the phones that are some, once each, and shows those that are not', () => {
    const phones = ['ask Juan', '987 654 321', '+51 987654321', '912345678 / 913456789', ''];
    const mapped = map({ phones });
    expect(mapped.phones).toEqual(['51987654321', '51912345678', '51913456789']);
    expect(Object.fromEntries(mapped.fields)).toEqual({ PHONE: ['ask Juan'] });
    expect(map({ phones: ['55 1234 5678'] }, 'MX').phones).toEqual(['525512345678']);
  });

  it('is called by its parts when Kommo gives no whole', () => {
    const document = contactDocument({ id: 1, name: ' ', lastName: 'Quispe' });
    expect(mapContact({ ...document, first_name: 'Rosa' }, 'PE').name).toBe('Rosa Quispe');
    expect(mapContact({ ...document, first_name: null }, 'PE').name).toBe('Quispe');
    expect(map({ name: null }).name).toBeNull();
  });

  it('looks the same when nothing of it that is read has changed', () => {
    const given = {
      phones: ['987654321'],
      fields: { a: '1', b: '2' },
      tags: [
        { id: 2, name: 'x' },
        { id: 1, name: 'y' },
      ],
    };
    const document = contactDocument({ id: 1, ...given });
    const { hash } = mapContact(document, 'PE');
    expect(hash).toMatch(/^[0-9a-f]{32}$/);
    const turned = {
      ...document,
      updated_at: T + 9,
      score: 7,
      _links: { self: 'x' },
      custom_fields_values: document.custom_fields_values?.toReversed(),
      _embedded: { tags: [...given.tags.toReversed(), { id: 1, name: 'called otherwise' }] },
    };
    expect(mapContact(turned, 'PE').hash).toBe(hash);
    const others = [
      map({ ...given, name: 'Other' }),
      map({ ...given, phones: ['987654322'] }),
      map({ ...given, lastName: 'x' }),
      map({ ...given, emails: ['a@x.pe'] }),
      map({ ...given, fields: { a: '2', b: '1' } }),
      map({ ...given, tags: given.tags.slice(1) }),
    ];
    expect(new Set([hash, ...others.map((other) => other.hash)]).size).toBe(7);
  });
});

describe('a lead of Kommo', () => {
  const pipeline = {
    id: 7,
    firstStageId: 70,
    stages: new Map([
      [100, 71],
      [142, 72],
      [143, 73],
    ]),
  };
  const world: LeadWorld = {
    currency: 'PEN',
    pipelines: new Map([[10, pipeline]]),
    members: new Map([[9001, 5]]),
    absentContacts: new Set([406]),
  };
  const given = { id: 1, pipeline: 10, status: 100 };
  const map = (more: Partial<Parameters<typeof leadDocument>[0]> = {}, within = world) =>
    mapLead(leadDocument({ ...given, ...more }), within);

  it('is ours where stage, member and contact are known', () => {
    expect(map({ responsible: 9001, contacts: [405] })).toMatchObject({
      isAway: false,
      stageId: 71,
      assignedTo: 5,
      contactId: 405,
      currency: 'PEN',
    });
    const strange = map({ responsible: 9002, status: 101, contacts: [406] });
    expect(strange).toMatchObject({
      stageId: undefined,
      assignedTo: undefined,
      contactId: undefined,
    });
  });

  it('is closed by its stage, for a reason only then', () => {
    const lost = { lossReason: 'Precio', closedAt: T };
    expect(map({ ...lost, status: 143 })).toMatchObject({
      isClosed: true,
      closeReason: 'Precio',
      closedAt: '2026-11-21T22:26:40.000Z',
    });
    expect(map(lost)).toMatchObject({
      isClosed: false,
      closeReason: undefined,
      closedAt: undefined,
    });
  });

  it('looks different as soon as something it refers to is known', () => {
    const strange = { responsible: 9001, status: 101 };
    const stages = new Map([...pipeline.stages, [101, 74]]);
    const looks = [
      map(strange, { ...world, members: new Map() }),
      map(strange),
      map(strange, { ...world, currency: 'USD' }),
      map(strange, { ...world, pipelines: new Map([[10, { ...pipeline, stages }]]) }),
      map(strange, { ...world, pipelines: new Map() }),
    ];
    expect(new Set(looks.map(({ hash }) => hash)).size).toBe(looks.length);
  });

  it('is nothing but away in a pipeline that is not followed', () => {
    const away = map({ pipeline: 11, name: 'One' });
    expect(away.isAway).toBe(true);
    expect(map({ pipeline: 12, name: 'Two' }).hash).toBe(away.hash);
  });
});

describe('pipelines of Kommo', () => {
  it('come in their order, won and lost last, without those in the archive', () => {
    const first = { ...pipelineDocument(2, 'First', [{ id: 20 }, { id: 10 }]), sort: 1 };
    const second = { ...pipelineDocument(1, ' ', []), sort: 2 };
    const old = { ...pipelineDocument(3, 'Old', []), is_archive: true };
    const odd = {
      ...first,
      _embedded: {
        statuses: first._embedded.statuses.map((status) => ({
          ...status,
          sort: status.id === 142 ? -1 : status.sort,
        })),
      },
    };
    const [one, two, ...more] = mapPipelines([second, old, odd]);
    expect(more).toEqual([]);
    expect(one?.stages.map(({ id, type }) => `${id} ${type}`)).toEqual([
      '20 active',
      '10 active',
      '142 won',
      '143 lost',
    ]);
    expect(two?.name).toBe('Pipeline 1');
  });
});

describe('a look', () => {
  const look = { id: 1, updatedAt: 10, isDeleted: false, hash: 'a' };
  const known: KnownLook = { id: 1, updatedAt: 10, hash: 'a', deletedAt: null, keeper: 'us' };

  it.each([
    ['of nothing that is known', look, undefined, 'write'],
    [
      'that says it is gone, of nothing that is known',
      { ...look, isDeleted: true },
      undefined,
      'nothing',
    ],
    ['that is the same', look, known, 'nothing'],
    ['that is the same later', { ...look, updatedAt: 11 }, known, 'nothing'],
    ['that differs in the same second', { ...look, hash: 'b' }, known, 'write'],
    ['that differs and is older', { ...look, hash: 'b', updatedAt: 9 }, known, 'nothing'],
    [
      "that is another connection's",
      { ...look, hash: 'b' },
      { ...known, keeper: 'other' },
      'nothing',
    ],
    ['that nobody keeps', look, { ...known, keeper: 'nobody' }, 'write'],
    ['that says it is gone', { ...look, isDeleted: true }, known, 'tombstone'],
    ['that says it was gone before', { ...look, isDeleted: true, updatedAt: 9 }, known, 'nothing'],
    [
      'that says again it is gone',
      { ...look, isDeleted: true },
      { ...known, deletedAt: 10 },
      'nothing',
    ],
    ['of what was deleted in the same second', look, { ...known, deletedAt: 10 }, 'write'],
    ['of what was deleted since', { ...look, hash: 'b' }, { ...known, deletedAt: 11 }, 'nothing'],
  ] as const)('%s', (_says, given, before, verdict) => {
    expect(judgeLook(given, before)).toBe(verdict);
  });

  it('counts once for each row, the newest and then the last', () => {
    const row = (id: number, updated_at: number, name: string) => ({ id, updated_at, name });
    const rows = [row(1, 5, 'a'), row(2, 5, 'b'), row(1, 4, 'c'), row(2, 5, 'd'), row(3, 1, 'e')];
    expect(newestLooks(rows).map(({ name }) => name)).toEqual(['a', 'd', 'e']);
  });
});
