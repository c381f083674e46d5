import { campaigns } from '../../domain/entities/campaigns.ts';
import { ClarinError } from '../../domain/errors.ts';
import { inReach, type Reach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { empty, sql, type Sql } from '../../platform/sql.ts';
import {
  assertState,
  CONTACT_REFUSAL,
  type CampaignStatus,
  type ContactRefusal,
} from './campaign.ts';

/** Whom to write to. */
export type Wanted =
  | {
      readonly recipients: readonly {
        readonly contactId: number;
        /** By name, in lower case. */
        readonly variables: Readonly<Record<string, string | number>>;
      }[];
    }
  /** Contacts with any of these tags, or with all of them. */
  | { readonly tagIds: readonly number[]; readonly match: 'any' | 'all' };

export type AddedRecipients = {
  readonly added: number;
  /** In it before; they stay as they were. */
  readonly already: number;
  /** Found by the filter and not added yet: asking again adds more of them. */
  readonly left: number;
  readonly skipped: Readonly<Record<ContactRefusal | 'not_found', number>>;
};

/** Contacts that one request may name, and adds. A filter may find more. */
export const RECIPIENTS_MAX = 10_000;

/** States in which somebody can still be added. */
const OPEN: readonly CampaignStatus[] = ['draft', 'scheduled', 'running', 'paused'];

/**
 * Contacts are added to a campaign, each once, in one statement; who cannot be written to is counted by reason. Contacts
 * are taken before the campaign, as a merge takes them: neither waits for the other.
 * @throws ClarinError not_found; conflict when the campaign is over.
 */
export async function addRecipients(
  tx: Queries,
  options: Reach & { readonly id: number; readonly wanted: Wanted },
): Promise<AddedRecipients> {
  const { accountId, id } = options;
  const campaign = sql`${inReach(campaigns, 'campaign', options)} and campaign.id = ${id}`;
  const [row] = await tx.query(sql`
    with wanted as materialized (${wantedStatement(options)}),
    known as materialized (
      select contact.id, wanted.variables, ${CONTACT_REFUSAL} as refusal, exists (
        select from public.campaign_recipients as recipient
        where recipient.account_id = ${accountId} and recipient.campaign_id = ${id}
          and recipient.contact_id = contact.id
      ) as is_in
      from wanted
      join public.contacts as contact on contact.account_id = ${accountId} and contact.id = wanted.contact_id
    ),
    taken as materialized (
      select contact.id, known.variables
      from known
      join public.contacts as contact on contact.account_id = ${accountId} and contact.id = known.id
      where known.refusal is null and not known.is_in
      order by contact.id
      limit ${RECIPIENTS_MAX}
      for key share of contact
    ),
    added as (
      insert into public.campaign_recipients (account_id, campaign_id, contact_id, variables)
      select campaign.account_id, campaign.id, taken.id, taken.variables
      from taken
      join public.campaigns as campaign on ${campaign}
      where campaign.status = any(${[...OPEN]}::text[])
      order by taken.id
      on conflict (account_id, campaign_id, contact_id) do nothing
      returning id
    )
    select (select count(*) from wanted) - count(*) as not_found,
      count(*) filter (where refusal = 'group') as group,
      count(*) filter (where refusal = 'do_not_contact') as do_not_contact,
      count(*) filter (where refusal = 'no_address') as no_address,
      count(*) filter (where refusal is null and is_in) as already,
      count(*) filter (where refusal is null) as reachable,
      (select count(*) from added) as added
    from known`);
  // Whoever added holds the campaign by now: it is over before that, or only after.
  const [found] = await tx.query(sql`
    select campaign.status from public.campaigns as campaign where ${campaign}`);
  if (!found) throw new ClarinError('not_found', 'there is no such row');
  assertState(found['status'] as CampaignStatus, {
    states: OPEN,
    cannot: 'given more recipients',
  });
  const count = (name: string): number => Number(row?.[name] ?? 0);
  return {
    added: count('added'),
    already: count('already'),
    left: count('reachable') - count('already') - count('added'),
    skipped: {
      group: count('group'),
      do_not_contact: count('do_not_contact'),
      no_address: count('no_address'),
      not_found: count('not_found'),
    },
  };
}

function wantedStatement({
  accountId,
  wanted,
}: {
  readonly accountId: number;
  readonly wanted: Wanted;
}): Sql {
  if ('recipients' in wanted) {
    const rows = wanted.recipients.map(({ contactId, variables }) => ({
      contact_id: contactId,
      variables,
    }));
    return sql`
      select distinct on (named.contact_id) named.contact_id, named.variables
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as named (contact_id bigint, variables jsonb)
      order by named.contact_id`;
  }
  const tagIds = [...new Set(wanted.tagIds)];
  return sql`
    select link.contact_id, '{}'::jsonb as variables
    from public.contact_tags as link
    where link.account_id = ${accountId} and link.tag_id = any(${tagIds}::bigint[])
    group by link.contact_id
    ${wanted.match === 'all' ? sql`having count(*) = ${tagIds.length}::bigint` : empty}`;
}
