import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { drawFrom } from './draw.ts';
import type { LoadOptions } from './load.ts';
import { MIDDLES, OPENINGS } from './words.ts';

/** Interactions, quick replies, campaigns with their recipients. */
export async function loadSalesTools(db: Queries, { seed, volume }: LoadOptions): Promise<void> {
  const draw = drawFrom(sql`contact.id`, seed, 8);
  await db.query(sql`
    insert into public.interactions (account_id, kind, contact_id, outcome, notes, created_by, occurred_at, next_action_at)
    select contact.account_id, (array['call', 'note', 'email', 'meeting'])[1 + ${draw.integer(1, 4, 1.5)}], contact.id,
      'Contestó', ${draw.oneOf(2, MIDDLES)}, member.id, now() - interval '1 year' * ${draw.between(3)},
      case when ${draw.chance(4, 0.2)} then now() + interval '10 days' * ${draw.between(5)} end
    from bench_contacts as contact
    join bench_users as member on member.account_id = contact.account_id and member.place = 0
    order by ${draw.between(6)}
    limit ${volume.interactions}`);
  await db.query(sql`
    insert into public.quick_replies (account_id, shortcut, title, body)
    select account.id, 'r' || number, 'Respuesta ' || number, (${OPENINGS}::text[])[number]
    from bench_accounts as account
    cross join generate_series(1, 20) as number`);
  await db.query(sql`
    insert into public.campaigns (account_id, name, device_id, template)
    select account.id, 'Campaña ' || number, device.id, 'Hola {{name}}'
    from bench_accounts as account
    join bench_devices as device on device.account_id = account.id and device.place = 0
    cross join generate_series(1, 4) as number`);
  await db.query(sql`
    insert into public.campaign_recipients (account_id, campaign_id, contact_id, status)
    select contact.account_id, campaign.id, contact.id, (array['read', 'delivered', 'sent', 'failed'])[1 + ${draw.integer(7, 4, 2)}]
    from bench_contacts as contact
    join lateral (
      select id from public.campaigns where account_id = contact.account_id order by id offset contact.id % 4 limit 1
    ) as campaign on true
    order by ${draw.between(8)}
    limit ${volume.recipients}`);
}
