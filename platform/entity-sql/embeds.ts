import type { Embed, Entity } from '../../domain/entity.ts';
import { column, ident, join, sql, type Sql } from '../sql.ts';
import { oncePerEntity, tableOf } from './scope.ts';

/** Name of an embed in a result: no column can have it. */
export function embedAlias(name: string): string {
  return `embed.${name}`;
}

/** `, "embed.stage"."json" as "embed.stage"` for every embed; nothing for none. */
export const selectEmbeds = oncePerEntity((entity: Entity): Sql => {
  const parts = Object.keys(entity.embeds).map(
    (name) => sql`, ${column(embedAlias(name), 'json')} as ${ident(embedAlias(name))}`,
  );
  return join(parts, ' ');
});

/**
 * Lateral joins that bring each embed of the row `alias` as one JSON array of texts (`one`) or an array of them.
 * They stand after the page of ids is chosen, so that they cost what is shown and not what was searched.
 */
export const joinEmbeds = oncePerEntity((entity: Entity, alias: string): Sql => {
  const parts = Object.entries(entity.embeds).map(
    ([name, embed]) =>
      sql`left join lateral (${embedJson(embed, alias)}) as ${ident(embedAlias(name))} on true`,
  );
  return join(parts, ' ');
});

function embedJson(embed: Embed, alias: string): Sql {
  const shown = 'shown';
  const values = sql`json_build_array(${join(embed.columns.map((name) => sql`${column(shown, name)}::text`))})`;
  switch (embed.kind) {
    case 'one':
      return sql`
        select ${values} as json
        from ${tableOf(embed.table)} as shown
        where shown.account_id = ${column(alias, 'account_id')} and shown.id = ${column(alias, embed.by)}`;
    case 'many':
      return sql`
        select coalesce(json_agg(${values} order by ${column(shown, embed.order)}, shown.id), '[]') as json
        from ${tableOf(embed.through)} as link
        join ${tableOf(embed.table)} as shown
          on shown.account_id = link.account_id and shown.id = ${column('link', embed.target)}
        where link.account_id = ${column(alias, 'account_id')} and ${column('link', embed.owner)} = ${column(alias, 'id')}`;
    case 'children':
      return sql`
        select coalesce(json_agg(${values} order by ${column(shown, embed.order)}, shown.id), '[]') as json
        from ${tableOf(embed.table)} as shown
        where shown.account_id = ${column(alias, 'account_id')} and ${column(shown, embed.by)} = ${column(alias, 'id')}`;
    default:
      return embed satisfies never;
  }
}
