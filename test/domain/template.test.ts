import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  neededNames,
  parseTemplate,
  RENDERED_MAX,
  renderTemplate,
  type TemplateValues,
} from '../../domain/template.ts';

function render(text: string, values: TemplateValues) {
  const parsed = parseTemplate(text);
  if (!parsed.ok) throw new Error(parsed.says);
  return renderTemplate(parsed.template, values);
}

describe('a template', () => {
  test.each([
    ['Hello {{name}}', 'Hello Ana'],
    ['{{name}}{{phone}}', 'Ana51987654321'],
    ['Hello {{  name\t}}!', 'Hello Ana!'],
    ['Hello {{NAME}}', 'Hello Ana'],
    ['{{name}} and {{name}}', 'Ana and Ana'],
    ['{{código}} costs {{price}}', 'X-1 costs 12.5'],
    ['Hello {{nick|friend}}', 'Hello friend'],
    ['Hello {{ nick |  dear friend }}', 'Hello dear friend'],
    ['Hello {{nick|}}', 'Hello '],
    ['Hello {{name|friend}}', 'Hello Ana'],
    ['No places, one { brace } and }}', 'No places, one { brace } and }}'],
    ['', ''],
  ])('%j is rendered as %j', (template, expected) => {
    const values = {
      name: ' Ana ',
      phone: '51987654321',
      price: 12.5,
      código: 'X-1',
      nick: '  ',
    };
    expect(render(template, values)).toEqual({ text: expected, missing: [], isTooLong: false });
  });

  test('names what is missing, each once, and leaves nothing in its place', () => {
    const values = { blank: ' ', nothing: null, list: ['a'], object: { a: 1 } };
    const text = '{{blank}}{{nothing}}{{list}}{{object}}{{none}}{{none}}{{constructor}}.';
    expect(render(text, values)).toEqual({
      text: '.',
      missing: ['blank', 'nothing', 'list', 'object', 'none', 'constructor'],
      isTooLong: false,
    });
  });

  test('is filled once: braces that come with a value stay text', () => {
    expect(render('{{name}}', { name: '{{phone}}', phone: '1' }).text).toBe('{{phone}}');
  });

  test('says when its text is longer than what is sent', () => {
    expect(render('{{name}}', { name: 'x'.repeat(RENDERED_MAX) }).isTooLong).toBe(false);
    expect(render('{{name}}!', { name: 'x'.repeat(RENDERED_MAX) }).isTooLong).toBe(true);
  });

  test.each([
    ['{{}}', 'holds {{}}, which is no name of letters and digits'],
    ['Hi {{first name}}', 'holds {{first name}}, which is no name of letters and digits'],
    ['{{1st}}', 'holds {{1st}}, which is no name of letters and digits'],
    ['{{a-b}}', 'holds {{a-b}}, which is no name of letters and digits'],
    ['{{a|b|c}}', 'holds {{a|b|c}}, which is no name of letters and digits'],
    [
      `{{${'x'.repeat(41)}}}`,
      `holds {{${'x'.repeat(41)}}}, which is no name of letters and digits`,
    ],
    ['Hello {{name}', 'opens {{ and does not close it'],
    ['{{name}} and {{', 'opens {{ and does not close it'],
    ['{{{{name}}', 'opens {{ and does not close it'],
  ])('%j is refused', (template, says) => {
    expect(parseTemplate(template)).toEqual({ ok: false, says });
  });

  test('needs the names that have no fallback', () => {
    const parsed = parseTemplate('{{a}} {{B|x}} {{c}} {{A}} {{b}}');
    expect(parsed.ok && neededNames(parsed.template)).toEqual(['a', 'c', 'b']);
  });

  test('without braces is its own text, whatever it is', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!text.includes('{{'));
        expect(render(text, {}).text).toBe(text);
      }),
    );
  });

  test('puts any value where it belongs, as it is but for space around it', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        expect(render('<{{ v | - }}>', { v: value }).text).toBe(`<${value.trim() || '-'}>`);
      }),
    );
  });
});
