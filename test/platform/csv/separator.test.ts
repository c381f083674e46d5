import { describe, expect, it } from 'vitest';
import { fitOf } from '../../../platform/csv/separator.ts';
import { readAll } from './support.ts';

describe('the separator', () => {
  it.each([
    ['commas', ',', 'a,b,c\n1,2,3\n'],
    ['semicolons', ';', 'a;b;c\r\n1;2;3\r\n'],
    ['tabs', '\t', 'a\tb\r1\t2\r'],
    ['a header alone', ';', 'nombre;teléfono'],
    ['one column', ',', 'phone\n51987654321\n51987654322\n'],
    ['semicolons with amounts', ';', 'name;amount\nAna;1,50\nLuis;2,75\nEva;3,00\n'],
    ['commas with lists in quotes', ',', 'name,tags\n"Ana","a;b;c"\n"Luis","d;e;f"\n'],
    ['semicolons, quoted commas and tabs', ';', '"a";"b"\n"1,2,3";"\t\t\t"\n"4,5,6";"\t\t\t"\n'],
    ['commas, quoted lines of semicolons', ',', 'a,b\n1,"x;y\nx;y\nx;y\n"\n2,"x;y\nx;y\nx;y\n"\n'],
    ['prose with commas', ';', 'a;b\n1;so, yes\n2;well, no, perhaps\n3;x\n'],
    ['some broken records', ';', 'a;b;c\n1;2;3\n1,5;2\n1;2;3\n1;2;3;4\n'],
    ['a quote within a field', '\t', 'size\tname\n5" x 3"\tpipe, long\n6"\trod, short\n'],
  ])('is found among %s', async (_, separator, file) => {
    expect((await readAll(file)).separator).toBe(separator);
  });

  it('is found in a head that cuts a record off within quotes', async () => {
    const file = `a;b\n1;"${',\n'.repeat(20_000)}"\n2;"${',\n'.repeat(20_000)}"\n`;
    expect(await readAll(file)).toMatchObject({ separator: ';', lines: [1, 2, 20_003] });
  });

  it('is the one that the caller says', async () => {
    const { separator, fields } = await readAll('a;b,c\n1;2,3\n', { separator: ';' });
    expect({ separator, fields }).toEqual({
      separator: ';',
      fields: [
        ['a', 'b,c'],
        ['1', '2,3'],
      ],
    });
  });

  it('is judged by the commonest width above one', () => {
    expect(fitOf([1, 3, 3, 2])).toEqual({ share: 0.5, width: 3 });
    expect(fitOf([2, 3])).toEqual({ share: 0.5, width: 3 });
    expect(fitOf([1, 1])).toEqual({ share: 0, width: 1 });
    expect(fitOf([])).toEqual({ share: 0, width: 1 });
  });
});
