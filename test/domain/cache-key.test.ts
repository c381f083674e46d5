import { describe, expect, it } from 'vitest';
import {
  accountKeys,
  allFamilies,
  DASHBOARD,
  PIPELINE_COUNTS,
  PRINCIPALS,
  reachOf,
} from '../../domain/cache-key.ts';
import { ENTITIES, mustFindEntity } from '../../domain/registry.ts';

const COUNTS = [DASHBOARD, PIPELINE_COUNTS];

/** But for counts, which are looked at by themselves. */
const reach = (table: string): string[] =>
  reachOf(mustFindEntity(table))
    .filter(({ family }) => !COUNTS.includes(family))
    .map((one) => (one.scope === 'all' ? one.family : `${one.family}/${one.field}`))
    .sort();

describe('what a change reaches', () => {
  it('[C11] a lead reaches its own row and the lists of leads, nothing else', () => {
    expect(reach('leads')).toEqual(['leads.list', 'leads.row/id']);
  });

  it('[C11] a tag reaches every lead, contact and chat that may show it', () => {
    expect(reach('tags')).toEqual([
      'chats.list',
      'chats.row',
      'contacts.list',
      'contacts.row',
      'leads.list',
      'leads.row',
      'tags.list',
      'tags.row/id',
    ]);
  });

  it('[C11] a message, what is shown with it and its chat reach the page of that chat', () => {
    expect(reach('messages')).toEqual(['messages.page/chat_id']);
    expect(reach('message_reactions')).toEqual(['messages.page/chat_id']);
    expect(reach('poll_votes')).toEqual(['messages.page/chat_id']);
    expect(reach('chats')).toEqual(['chats.list', 'chats.row/id', 'messages.page/id']);
    expect(allFamilies()).toContain('messages.page');
  });

  it('[C11] a tag put on a lead reaches that lead and the lists, also when it is taken off', () => {
    expect(reach('lead_tags')).toEqual(['leads.list', 'leads.row/lead_id']);
    expect(mustFindEntity('lead_tags').identity).toContain('lead_id');
  });

  it('[C11] a contact reaches the leads and chats that show its name', () => {
    expect(reach('contacts')).toEqual([
      'chats.list',
      'chats.row',
      'contacts.list',
      'contacts.row/id',
      'leads.list',
      'leads.row',
    ]);
  });

  it('[C11] a stage reaches leads and pipelines', () => {
    expect(reach('pipeline_stages')).toEqual([
      'leads.list',
      'leads.row',
      'pipelines.list',
      'pipelines.row',
    ]);
  });

  it('[C11] a device that is shown by its id alone reaches nobody until its link changes', () => {
    expect(reach('devices')).not.toContain('contacts.list');
    expect(reach('contact_device_names')).toEqual(['contacts.list', 'contacts.row/contact_id']);
  });

  it('[C11] whatever decides who may do what reaches the principals', () => {
    for (const table of ['accounts', 'memberships', 'roles'])
      expect(reach(table)).toContain(PRINCIPALS);
    expect(reach('sessions')).toEqual([`${PRINCIPALS}/id`]);
  });

  it('[C11] whatever is counted reaches the counts, and nothing else does', () => {
    const tablesThatReach = (family: string): string[] =>
      ENTITIES.filter((entity) =>
        reachOf(entity).some((one) => one.family === family && one.scope === 'all'),
      ).map(({ table }) => table);
    expect(tablesThatReach(PIPELINE_COUNTS)).toEqual(['pipelines', 'pipeline_stages', 'leads']);
    expect(tablesThatReach(DASHBOARD)).toEqual([
      'accounts',
      'pipelines',
      'pipeline_stages',
      'contacts',
      'leads',
      'devices',
      'chats',
      'messages',
      'interactions',
    ]);
    expect(allFamilies()).toEqual(expect.arrayContaining(COUNTS));
  });

  it('[C11] every cached entity and every table it embeds reaches its families', () => {
    for (const entity of ENTITIES) {
      const shown = Object.values(entity.embeds).flatMap((embed) => {
        const rows = embed.columns.join() === 'id' ? [] : [embed.table];
        return embed.kind === 'many' ? [...rows, embed.through] : rows;
      });
      for (const table of [entity.table, ...shown]) {
        const families = reachOf(mustFindEntity(table)).map((one) => one.family);
        if (entity.cache.list) expect(families).toContain(`${entity.table}.list`);
        if (entity.cache.row) expect(families).toContain(`${entity.table}.row`);
        for (const family of families) expect(allFamilies()).toContain(family);
      }
    }
  });

  it('keeps all keys of an account in one hash slot', () => {
    const keys = accountKeys({ prefix: 'clarin' }, 7, 'e');
    for (const key of [
      keys.head,
      keys.log,
      keys.family('x'),
      keys.tombstone('x/1'),
      keys.channel,
    ]) {
      expect(/\{(.*?)\}/.exec(key)?.[1]).toBe('a:7');
    }
  });
});
