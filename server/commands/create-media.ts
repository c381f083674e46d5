import { media } from '../../domain/entities/media.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { createRow } from './create-row.ts';

type Options = {
  readonly accountId: number;
  readonly actorId: number;
  /** Where its bytes are: stored already, so that no row promises what is not there. */
  readonly objectKey: string;
  readonly mimetype: string;
  readonly filename: string | undefined;
  readonly size: number;
  readonly sha256: string;
};

/** A file that was uploaded becomes a row, ready to be sent. */
export function createMedia(
  tx: Queries,
  { accountId, actorId, ...file }: Options,
): Promise<Written> {
  return createRow(tx, {
    entity: media,
    accountId,
    values: {
      object_key: file.objectKey,
      mimetype: file.mimetype,
      filename: file.filename ?? null,
      size: file.size,
      sha256: file.sha256,
      state: 'stored',
      created_by: actorId,
    },
  });
}
