import { publishedColumns, type Embed, type Entity } from '../../domain/entity.ts';
import type { Permission } from '../../domain/permission.ts';
import { mustFindEntity } from '../../domain/registry.ts';
import { compileRowWriter } from '../../domain/row-json.ts';
import type { TextRow } from '../postgres.ts';
import { embedAlias } from './embeds.ts';

/** Whether the reader may see columns that need this permission. */
export type Sees = (permission: Permission) => boolean;

export type BodyWriter = (row: TextRow) => string;

type EmbedWriter = (text: string | null | undefined) => string;

type Compiled = {
  /** Those that a column of the entity or of its embeds needs. */
  readonly permissions: readonly Permission[];
  /** By which of these the reader has. */
  readonly writers: Map<string, BodyWriter>;
};

const compiled = new WeakMap<Entity, Compiled>();

/**
 * The writer of `{...row,"stage":{...},"tags":[...]}` from a row of the statements in this folder. Row and
 * embeds go through the feed's own row writer, so that the row part is byte for byte the feed's row. Compiled once for
 * all readers who see the same columns.
 */
export function compileBodyWriter(entity: Entity, sees: Sees = () => true): BodyWriter {
  const known = compiled.get(entity) ?? { permissions: permissionsOf(entity), writers: new Map() };
  compiled.set(entity, known);
  const seen = known.permissions.filter((permission) => sees(permission));
  const key = seen.join(' ');
  const writer = known.writers.get(key) ?? compile(entity, (wanted) => seen.includes(wanted));
  known.writers.set(key, writer);
  return writer;
}

function permissionsOf(entity: Entity): Permission[] {
  const shown = [entity, ...Object.values(entity.embeds).map(({ table }) => mustFindEntity(table))];
  const needed = shown.flatMap(({ columns }) =>
    Object.values(columns).map(({ permission }) => permission),
  );
  return [...new Set(needed)].filter((permission) => permission !== undefined);
}

function compile(entity: Entity, sees: Sees): BodyWriter {
  const columns = visibleColumns(entity, publishedColumns(entity), sees);
  const writeRow = compileRowWriter(entity, columns);
  const embeds = Object.entries(entity.embeds).map(([name, embed]) => ({
    alias: embedAlias(name),
    write: compileEmbedWriter(name, embed, sees),
  }));
  return (row) => {
    const json = writeRow(columns.map((name) => row[name]));
    if (embeds.length === 0) return json;
    return `${json.slice(0, -1)}${embeds.map(({ alias, write }) => write(row[alias])).join('')}}`;
  };
}

/** Writes `,"name":...`, or nothing where a `one` embed points nowhere. */
function compileEmbedWriter(name: string, embed: Embed, sees: Sees): EmbedWriter {
  const shown = mustFindEntity(embed.table);
  const columns = visibleColumns(shown, embed.columns, sees);
  const places = columns.map((column) => embed.columns.indexOf(column));
  const writeRow = compileRowWriter(shown, columns);
  const write = (values: readonly (string | null)[]): string =>
    writeRow(places.map((place) => values[place]));
  const label = `,${JSON.stringify(name)}:`;
  return (text) => {
    if (text === null || text === undefined) return '';
    if (embed.kind === 'one') return label + write(JSON.parse(text) as (string | null)[]);
    return `${label}[${(JSON.parse(text) as (string | null)[][]).map(write).join(',')}]`;
  };
}

function visibleColumns(entity: Entity, columns: readonly string[], sees: Sees): string[] {
  return columns.filter((name) => {
    const permission = entity.columns[name]?.permission;
    return permission === undefined || sees(permission);
  });
}
