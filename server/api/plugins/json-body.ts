import { isUtf8 } from 'node:buffer';
import { ClarinError } from '../../../domain/errors.ts';
import type { App } from '../context.ts';

/** JSON in UTF-8, and nothing else that could be taken for it. RFC 8259 section 8.1. */
export function registerJsonBody(app: App): void {
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    (request, body, done) => {
      // Clients that always name a content type send some requests without a body all the same.
      if (body.length === 0) done(null, undefined);
      // Decoding would put U+FFFD for what is none, and that would be stored.
      else if (!isUtf8(body)) done(new ClarinError('invalid_request', 'the body is not UTF-8'));
      else void parseJson(request, body.toString('utf8'), done);
    },
  );
}
