import { leads } from '../../domain/entities/leads.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { updateRow } from './update-row.ts';

type Options = {
  accountId: number;
  id: number;
  stageId: number;
  position?: number | undefined;
  ifMatch?: string | undefined;
};

/**
 * A lead goes to a stage: pipeline, status and closing follow the stage, by a trigger. Undefined: no such lead.
 * @throws ClarinError unprocessable when there is no such stage, precondition_failed.
 */
export function moveLead(tx: Queries, options: Options): Promise<Written | undefined> {
  const { accountId, id, stageId, position, ifMatch } = options;
  const values = { stage_id: stageId, ...(position === undefined ? {} : { position }) };
  return updateRow(tx, { entity: leads, accountId, id, values, ifMatch });
}
