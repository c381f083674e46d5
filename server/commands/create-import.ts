import { imports } from '../../domain/entities/imports.ts';
import type { Mapping } from '../../platform/csv/mapping.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { createRow } from './create-row.ts';

type Options = {
  readonly accountId: number;
  readonly actorId: number;
  readonly filename: string;
  /** Where its bytes are: stored already, so that no row promises what is not there. */
  readonly objectKey: string;
  readonly size: number;
  readonly encoding: string;
  readonly separator: string;
  readonly mapping: Mapping;
  /** Undefined: as the account's. */
  readonly country: string | undefined;
  readonly isDryRun: boolean;
};

/** A file that was uploaded waits for a worker to import it. */
export function createImport(
  tx: Queries,
  { accountId, actorId, ...file }: Options,
): Promise<Written> {
  return createRow(tx, {
    entity: imports,
    accountId,
    values: {
      filename: file.filename,
      object_key: file.objectKey,
      size: file.size,
      encoding: file.encoding,
      separator: file.separator,
      mapping: file.mapping,
      country: file.country ?? null,
      is_dry_run: file.isDryRun,
      created_by: actorId,
    },
  });
}
