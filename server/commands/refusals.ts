import { ClarinError } from '../../domain/errors.ts';
import { sqlStateOf, translateError } from '../../platform/sqlstate.ts';

const FOREIGN_KEY_VIOLATION = '23503';

/**
 * Says what a violated foreign key means for whoever *sets* a reference: the row it names is not there, or not in
 * this account, which is the same. (For whoever deletes, it means that rows still point here: a conflict.)
 */
export async function explainReferences<T>(writing: Promise<T>): Promise<T> {
  try {
    return await writing;
  } catch (error) {
    if (sqlStateOf(error) !== FOREIGN_KEY_VIOLATION) throw error;
    const { details } = translateError(error);
    throw new ClarinError('unprocessable', 'a row this refers to is not there', {
      cause: error,
      ...(details === undefined ? {} : { details }),
    });
  }
}
