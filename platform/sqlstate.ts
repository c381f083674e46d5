import { ClarinError, type ErrorCode } from '../domain/errors.ts';

/**
 * The only place that knows Postgres' error codes. Turns a driver's error into one of the catalogue.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const CODES: Readonly<Record<string, ErrorCode>> = {
  '23505': 'conflict', // unique_violation
  '23503': 'conflict', // foreign_key_violation
  '23001': 'conflict', // restrict_violation
  '23P01': 'conflict', // exclusion_violation
  '23514': 'unprocessable', // check_violation
  '23502': 'unprocessable', // not_null_violation
  '22001': 'unprocessable', // string_data_right_truncation
  '22003': 'unprocessable', // numeric_value_out_of_range
  '22007': 'unprocessable', // invalid_datetime_format
  '22008': 'unprocessable', // datetime_field_overflow
  '22009': 'unprocessable', // invalid_time_zone_displacement_value
  '22021': 'unprocessable', // character_not_in_repertoire: a NUL
  '22P02': 'unprocessable', // invalid_text_representation
  '22P05': 'unprocessable', // untranslatable_character: \u0000 in jsonb
  '54000': 'unprocessable', // program_limit_exceeded: too long for an index
  '54001': 'unprocessable', // statement_too_complex: nested deeper than the server's stack
  P0001: 'unprocessable', // raise_exception: a rule of the domain, said by a trigger
  '57014': 'timeout', // query_canceled
  '55P03': 'timeout', // lock_not_available
  '40001': 'timeout', // serialization_failure
  '40P01': 'timeout', // deadlock_detected
  '25P03': 'timeout', // idle_in_transaction_session_timeout
  '53300': 'unavailable', // too_many_connections
  '57P01': 'unavailable', // admin_shutdown
  '57P02': 'unavailable', // crash_shutdown
  '57P03': 'unavailable', // cannot_connect_now
  '08000': 'unavailable',
  '08003': 'unavailable',
  '08006': 'unavailable',
};

type DriverError = {
  code: string;
  constraint?: string;
  table?: string;
  column?: string;
  message: string;
};

function isDriverError(error: unknown): error is Error & DriverError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string';
}

/** SQLSTATE of a driver's error; undefined for anything else. */
export function sqlStateOf(error: unknown): string | undefined {
  return isDriverError(error) && /^[0-9A-Z]{5}$/.test(error.code) ? error.code : undefined;
}

/** The same error as one of ours, its cause kept. Internal texts never reach `message` but a trigger's own (P0001). */
export function translateError(error: unknown): ClarinError {
  if (error instanceof ClarinError) return error;
  const state = sqlStateOf(error);
  if (state === undefined)
    return new ClarinError('unavailable', 'the database is not reachable', { cause: error });
  const code = CODES[state];
  if (code === undefined || !isDriverError(error)) {
    return new ClarinError('internal', 'a statement failed', { cause: error });
  }
  const details: Record<string, unknown> = {};
  if (error.constraint !== undefined) details['constraint'] = error.constraint;
  if (error.column !== undefined) details['column'] = error.column;
  return new ClarinError(
    code,
    state === 'P0001' ? error.message : (MESSAGES[code] ?? 'the database refused it'),
    {
      cause: error,
      details,
    },
  );
}

const MESSAGES: Partial<Record<ErrorCode, string>> = {
  conflict: 'another row already has this value, or rows still point to this one',
  unprocessable: 'a rule of the database forbids this value',
  timeout: 'the database did not answer in time; nothing was written',
  unavailable: 'the database is not reachable',
};
