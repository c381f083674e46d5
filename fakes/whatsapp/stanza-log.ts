import type { BinaryNode } from '@whiskeysockets/baileys';

/** One stanza over one connection, without its content: there are keys and texts in it. */
export type LoggedStanza = {
  /** 1 for the first. */
  readonly number: number;
  readonly atMs: number;
  readonly connection: number;
  /** Its address once it has logged in. */
  readonly device: string | undefined;
  readonly way: 'in' | 'out';
  readonly tag: string;
  readonly attrs: Readonly<Record<string, string>>;
  /** Tags of its children. */
  readonly children: readonly string[];
};

export type LogFilter = {
  readonly device?: string | undefined;
  readonly way?: 'in' | 'out' | undefined;
  readonly tag?: string | undefined;
  /** Attribute `xmlns`, of queries. */
  readonly xmlns?: string | undefined;
  readonly id?: string | undefined;
  /** Numbers above it. */
  readonly after?: number | undefined;
};

const KEPT_MAX = 20_000;

/** Every stanza over every connection; the last ones are kept. */
export class StanzaLog {
  #stanzas: LoggedStanza[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(
    way: 'in' | 'out',
    where: { connection: number; device: string | undefined },
    { tag, attrs, content }: BinaryNode,
  ): void {
    this.#count += 1;
    const children = Array.isArray(content) ? content.map((child) => child.tag) : [];
    this.#stanzas.push({
      number: this.#count,
      atMs: Date.now(),
      ...where,
      way,
      tag,
      attrs,
      children,
    });
    if (this.#stanzas.length > KEPT_MAX * 1.1) this.#stanzas = this.#stanzas.slice(-KEPT_MAX);
  }

  /** Oldest first. */
  list(filter: LogFilter = {}): LoggedStanza[] {
    const { device, way, tag, xmlns, id, after } = filter;
    return this.#stanzas.filter(
      (stanza) =>
        (device === undefined || stanza.device === device) &&
        (way === undefined || stanza.way === way) &&
        (tag === undefined || stanza.tag === tag) &&
        (xmlns === undefined || stanza.attrs['xmlns'] === xmlns) &&
        (id === undefined || stanza.attrs['id'] === id) &&
        (after === undefined || stanza.number > after),
    );
  }

  /** Numbers go on. */
  clear(): void {
    this.#stanzas = [];
  }
}
