import { campaigns } from '../../../domain/entities/campaigns.ts';
import { ClarinError } from '../../../domain/errors.ts';
import { parseTemplate, renderTemplate } from '../../../domain/template.ts';
import { inReach, type Reach } from '../../../platform/entity-sql/scope.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';
import { RECIPIENT_VALUES } from '../../commands/campaign.ts';

type Options = Reach & {
  readonly id: number;
  readonly contactId: number;
  readonly signal: AbortSignal;
};

/**
 * What a contact would read, with its variables where it is a recipient, `{...}`; one statement. Undefined: no such
 * campaign or no such contact. @throws ClarinError unprocessable for a template that is none.
 */
export async function previewCampaign(
  db: Queries,
  { id, contactId, signal, ...reach }: Options,
): Promise<string | undefined> {
  const [row] = await db.query(
    sql`
      select campaign.template, ${RECIPIENT_VALUES} as known
      from public.campaigns as campaign
      join public.contacts as contact on contact.account_id = campaign.account_id and contact.id = ${contactId}
      left join public.campaign_recipients as recipient
        on recipient.account_id = campaign.account_id and recipient.campaign_id = campaign.id
        and recipient.contact_id = contact.id
      where ${inReach(campaigns, 'campaign', reach)} and campaign.id = ${id}`,
    { signal },
  );
  if (!row) return undefined;
  const parsed = parseTemplate(row['template'] ?? '');
  if (!parsed.ok) throw new ClarinError('unprocessable', `its template ${parsed.says}`);
  const values = JSON.parse(row['known'] ?? '{}') as Record<string, unknown>;
  const { text, missing, isTooLong } = renderTemplate(parsed.template, values);
  return JSON.stringify({ text, missing, is_too_long: isTooLong });
}
