import { contacts } from '../../domain/entities/contacts.ts';
import type { Entity } from '../../domain/entity.ts';
import { IMPORTED_COLUMNS, type CheckedContact } from '../../platform/csv/contact-record.ts';
import { mustColumn } from '../../platform/entity-sql/list-query.ts';
import type { Queries } from '../../platform/postgres.ts';
import { column, ident, join, sql, typeName, type Sql } from '../../platform/sql.ts';
import { findContacts } from './find-imported.ts';
import { planImport, type Outcome, type Plan, type Target } from './import-plan.ts';

type Options = {
  readonly accountId: number;
  /** Whom a bar is written down to; undefined when whoever began the import is gone. */
  readonly actorId: number | undefined;
  readonly rows: readonly CheckedContact[];
  /** Says what would happen, and writes nothing. */
  readonly isDryRun: boolean;
};

const SOURCE = 'import';

/**
 * A session keeps the plans of foreign keys and triggers. Those made while a table is nearly empty read all of it, and
 * a first import into a new installation would be slower with every row until Postgres analyzes the table (2.3 ms for
 * each link after 2,000 contacts).
 */
const FRESH_PLANS = sql`discard plans`;

/**
 * A batch of rows becomes contacts, with at most nine statements however many there are: those that are found are
 * changed where the rows say something else, the others made; an import never clears. What changes nothing is not
 * written. Gives what each row did, in their order.
 *
 * Imports of one account take turns, each for the length of a transaction: two files of the same people at once make
 * them once. @throws ClarinError conflict when somebody else made a contact with one of the WhatsApp addresses just
 * now: the same batch again finds it.
 */
export async function importContacts(
  tx: Queries,
  { accountId, actorId, rows, isDryRun }: Options,
): Promise<readonly Outcome[]> {
  if (!isDryRun) {
    await tx.query(
      sql`select pg_advisory_xact_lock(hashtextextended(${`clarin.import.${accountId}`}, 0))`,
    );
  }
  const plan = planImport(rows, await findContacts(tx, { accountId, rows, isLocked: !isDryRun }));
  const tagged = await findNewTags(tx, accountId, plan);
  if (!isDryRun) await writePlan(tx, { accountId, actorId, plan, tagged });
  return plan.outcomes.map((outcome, at) =>
    outcome.kind === 'unchanged' && tagged.has(at) ? { kind: 'updated' } : outcome,
  );
}

/**
 * Places of the rows that bring a known contact a tag it does not have; of several that bring the same one, the first.
 */
async function findNewTags(
  tx: Queries,
  accountId: number,
  { tags }: Plan,
): Promise<ReadonlySet<number>> {
  const wanted = tags.flatMap(({ at, target: { id }, tag }) =>
    id === undefined ? [] : { at, id, tag },
  );
  if (wanted.length === 0) return new Set();
  const rows = await tx.query(sql`
    with wanted as (
      select distinct on (given.contact_id, lower(given.tag))
        given.at, given.contact_id, lower(given.tag) as tag
      from unnest(${wanted.map(({ at }) => at)}::integer[], ${wanted.map(({ id }) => id)}::bigint[],
        ${wanted.map(({ tag }) => tag)}::text[]) as given (at, contact_id, tag)
      order by given.contact_id, lower(given.tag), given.at
    )
    select distinct wanted.at
    from wanted
    where not exists (
      select from public.tags as tag
      join public.contact_tags as link on link.account_id = tag.account_id and link.tag_id = tag.id
      where tag.account_id = ${accountId} and lower(tag.name) = wanted.tag
        and link.contact_id = wanted.contact_id
    )`);
  return new Set(rows.map((row) => Number(row['at'])));
}

type Writing = {
  accountId: number;
  actorId: number | undefined;
  plan: Plan;
  tagged: ReadonlySet<number>;
};

async function writePlan(
  tx: Queries,
  { accountId, actorId, plan, tagged }: Writing,
): Promise<void> {
  if (plan.targets.length > 0) await tx.query(FRESH_PLANS);
  const made = plan.targets.filter(({ id }) => id === undefined);
  const changed = plan.targets.filter(({ id }) => id !== undefined);
  const ids = new Map<Target, number>();
  if (made.length > 0) {
    const rows = await tx.query(insertStatement(accountId, actorId, made));
    // Numbered in the order of the rows, whatever the order in which they are returned.
    const numbers = rows.map((row) => Number(row['id'])).toSorted((left, right) => left - right);
    made.forEach((target, index) => ids.set(target, numbers[index] ?? 0));
  }
  if (changed.length > 0) await tx.query(updateStatement(accountId, actorId, changed));
  const links = plan.tags
    .filter(({ at, target }) => target.id === undefined || tagged.has(at))
    .map(({ target, tag }) => ({ contactId: target.id ?? ids.get(target) ?? 0, tag }));
  if (links.length > 0) await linkTags(tx, accountId, links);
}

const COLUMNS = join(IMPORTED_COLUMNS.map(ident));

/** The targets as rows of a table `given`, `at` their place; what a target does not say is null. */
function givenTargets(targets: readonly Target[]): Sql {
  const entity: Entity = contacts;
  const types = IMPORTED_COLUMNS.map(
    (name) => sql`${ident(name)} ${typeName(mustColumn(entity, name).pgType)}`,
  );
  const rows = targets.map(({ id, changes, customFields }, at) => ({
    ...changes,
    at,
    contact_id: id,
    custom_fields: customFields,
  }));
  return sql`jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
    as given (at integer, contact_id bigint, custom_fields jsonb, ${join(types)})`;
}

function insertStatement(
  accountId: number,
  actorId: number | undefined,
  targets: readonly Target[],
): Sql {
  const values = IMPORTED_COLUMNS.map((name) => {
    const value = column('given', name);
    if (name === 'source') return sql`coalesce(${value}, ${SOURCE})`;
    return name === 'do_not_contact' ? sql`coalesce(${value}, false)` : value;
  });
  return sql`
    insert into public.contacts (account_id, custom_fields, do_not_contact_by, ${COLUMNS})
    select ${accountId}::bigint, given.custom_fields, case when given.do_not_contact then ${actorId ?? null}::bigint end,
      ${join(values)}
    from ${givenTargets(targets)}
    order by given.at
    returning id`;
}

function updateStatement(
  accountId: number,
  actorId: number | undefined,
  targets: readonly Target[],
): Sql {
  // A row whose key is named is locked against whoever only refers to it: and the address stays as it is (import-plan.ts).
  const sets = IMPORTED_COLUMNS.filter((name) => name !== 'jid').map(
    (name) => sql`${ident(name)} = coalesce(${column('given', name)}, ${column('contact', name)})`,
  );
  return sql`
    update public.contacts as contact
    set ${join(sets)}, custom_fields = contact.custom_fields || given.custom_fields,
      do_not_contact_by = case
        when given.do_not_contact and not contact.do_not_contact then ${actorId ?? null}::bigint
        else contact.do_not_contact_by
      end
    from ${givenTargets(targets)}
    where contact.account_id = ${accountId} and contact.id = given.contact_id
    returning contact.id`;
}

/** Tags that are missing are made, whatever case they are written in; links that are there are left alone. */
async function linkTags(
  tx: Queries,
  accountId: number,
  links: readonly { contactId: number; tag: string }[],
): Promise<void> {
  const contactIds = links.map(({ contactId }) => contactId);
  const names = links.map(({ tag }) => tag);
  await tx.query(sql`
    insert into public.tags (account_id, name)
    select ${accountId}::bigint, wanted.name
    from (
      select distinct on (lower(given.name)) given.name, given.at
      from unnest(${names}::text[]) with ordinality as given (name, at)
      order by lower(given.name), given.at
    ) as wanted
    where not exists (
      select from public.tags as tag where tag.account_id = ${accountId} and lower(tag.name) = lower(wanted.name)
    )
    order by wanted.at
    on conflict (account_id, lower(name)) do nothing
    returning id`);
  await tx.query(sql`
    insert into public.contact_tags (account_id, contact_id, tag_id)
    select distinct ${accountId}::bigint, given.contact_id, tag.id
    from unnest(${contactIds}::bigint[], ${names}::text[]) as given (contact_id, name)
    join public.tags as tag on tag.account_id = ${accountId} and lower(tag.name) = lower(given.name)
    where not exists (
      select from public.contact_tags as link
      where link.account_id = ${accountId} and link.contact_id = given.contact_id and link.tag_id = tag.id
    )
    order by given.contact_id, tag.id
    on conflict (account_id, contact_id, tag_id) do nothing
    returning id`);
}
