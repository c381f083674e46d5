import { applyKommoAccount, applyKommoUsers } from '../../commands/apply-kommo-account.ts';
import { applyKommoPipelines } from '../../commands/apply-kommo-pipelines.ts';
import { applyKommoTags } from '../../commands/apply-kommo-tags.ts';
import type { Queries } from '../../../platform/postgres.ts';
import type { KommoLead, KommoPipeline, KommoTag, KommoUser } from '../../kommo/documents.ts';
import { KommoError } from '../../kommo/errors.ts';
import type { Lane } from '../../kommo/limiter.ts';
import { digestOf } from './seen-rows.ts';
import { write, type Session } from './session.ts';

/** What leads and contacts refer to, as it was last seen over there. In memory: after a change of hands it is read anew. */
export type References = {
  /** By name, of what was last written. */
  readonly written: Map<string, string>;
  /** `<pipeline> <status>`. */
  statuses: ReadonlySet<string>;
  /** Undefined: the token may not see them. */
  users: ReadonlySet<number> | undefined;
  /** What leads referred to and was not there when we looked: not looked for again and again. */
  readonly strange: Set<string>;
  /** When users were refused, by the clock. */
  refusedAtMs: number | undefined;
  /** When we last looked. */
  lookedAtMs: number | undefined;
};

export function createReferences(): References {
  const never = { refusedAtMs: undefined, lookedAtMs: undefined };
  return {
    written: new Map(),
    strange: new Set(),
    statuses: new Set(),
    users: undefined,
    ...never,
  };
}

/** Rights change seldom. */
const ASK_AGAIN_MS = 3_600_000;
const STRANGE_MAX = 1_000;
/** What appeared since then is found by the next pass: leads of the last two minutes are read again after it. */
const RECENT_MS = 10_000;

type Piece = {
  readonly name: string;
  readonly digest: string;
  readonly apply: (tx: Queries) => Promise<unknown>;
};

/**
 * The account, its people, its pipelines with their stages, its tags: whichever differs from what was last written is
 * written, all by one transaction. @throws KommoError, ClarinError, LeaseLost.
 */
export async function passReference(session: Session, lane: Lane): Promise<void> {
  const { scope, client, references, connection, clock } = session;
  const account = await client.account(lane);
  const users = await askForUsers(session, lane);
  const pipelines = await client.pipelines(lane);
  const leadTags = await unlessForbidden(client.tags('leads', lane));
  const contactTags = await unlessForbidden(client.tags('contacts', lane));
  const tagPiece = (entity: 'lead' | 'contact', tags: readonly KommoTag[] | undefined): Piece[] =>
    tags === undefined
      ? []
      : [piece(`tags of ${entity}s`, tags, (tx) => applyKommoTags(tx, scope, entity, tags))];
  const pieces: Piece[] = [
    piece('account', account, (tx) => applyKommoAccount(tx, scope, account)),
    ...(users ? [piece('users', users, (tx) => applyKommoUsers(tx, scope, users))] : []),
    // Which of them are followed is for people to say; what is followed gets its stages.
    piece('pipelines', [pipelines, connection.followed], (tx) =>
      applyKommoPipelines(tx, scope, pipelines),
    ),
    ...tagPiece('lead', leadTags),
    ...tagPiece('contact', contactTags),
  ];
  const differing = pieces.filter(({ name, digest }) => references.written.get(name) !== digest);
  if (differing.length > 0)
    await write(session, async (tx) => {
      for (const { apply } of differing) await apply(tx);
    });
  for (const { name, digest } of differing) references.written.set(name, digest);
  // What becomes of a lead depends on them, also of one that has not changed.
  if (differing.some(({ name }) => name === 'users' || name === 'pipelines')) {
    session.seen.lead.forgetAll();
    references.strange.clear();
  }
  references.statuses = statusesOf(pipelines);
  references.users = users && new Set(users.map(({ id }) => id));
  if (users === undefined) references.refusedAtMs ??= clock.elapsed();
  references.lookedAtMs = clock.elapsed();
}

function piece(name: string, content: unknown, apply: Piece['apply']): Piece {
  return { name, digest: digestOf(content), apply };
}

function statusesOf(pipelines: readonly KommoPipeline[]): ReadonlySet<string> {
  return new Set(
    pipelines.flatMap(({ id, _embedded }) =>
      _embedded.statuses.map((status) => `${id} ${status.id}`),
    ),
  );
}

async function askForUsers(
  { client, references, clock }: Session,
  lane: Lane,
): Promise<readonly KommoUser[] | undefined> {
  const { refusedAtMs } = references;
  if (refusedAtMs !== undefined && clock.elapsed() - refusedAtMs < ASK_AGAIN_MS) return undefined;
  references.refusedAtMs = undefined;
  return client.users(lane);
}

async function unlessForbidden<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof KommoError && error.kind === 'forbidden') return undefined;
    throw error;
  }
}

/**
 * Looks again when leads are in a stage, or with a person, that nobody has told us of: both are older than the lead that
 * names them. Once for each name that stays unknown. @throws as passReference.
 */
export async function knowReferences(
  session: Session,
  leads: readonly KommoLead[],
  lane: Lane,
): Promise<void> {
  const { references, connection, clock } = session;
  const unknown = (): string[] =>
    unknownIn(references, connection.followed, leads).filter(
      (name) => !references.strange.has(name),
    );
  if (unknown().length === 0) return;
  const { lookedAtMs } = references;
  if (lookedAtMs !== undefined && clock.elapsed() - lookedAtMs < RECENT_MS) return;
  await passReference(session, lane);
  for (const name of unknown().slice(0, STRANGE_MAX - references.strange.size))
    references.strange.add(name);
}

/** Names of what leads of the followed pipelines refer to and is not known. */
export function unknownIn(
  { statuses, users }: Pick<References, 'statuses' | 'users'>,
  followed: readonly number[],
  leads: readonly KommoLead[],
): string[] {
  const names = leads.flatMap((lead) => {
    if (!followed.includes(lead.pipeline_id)) return [];
    const stage = `${lead.pipeline_id} ${lead.status_id}`;
    const person = lead.responsible_user_id;
    return [
      ...(statuses.has(stage) ? [] : [stage]),
      ...(person && users && !users.has(person) ? [`user ${person}`] : []),
    ];
  });
  return [...new Set(names)];
}
