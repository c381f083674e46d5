/** An error as Kommo answers it: `application/problem+json`. */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;

  constructor(status: number, detail: string, more: Readonly<Record<string, unknown>> = {}) {
    super(detail);
    this.status = status;
    this.body = {
      title: TITLES[status] ?? 'Error',
      type: `https://httpstatus.es/${status}`,
      status,
      detail,
      ...more,
    };
  }
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  413: 'Payload Too Large',
  422: 'Unprocessable Entity',
  429: 'Too Many Requests',
  500: 'ErrInternalServer',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Time-out',
};

/** A 400 that names the parameters. */
export function badRequest(errors: readonly { path: string; detail: string }[]): Problem {
  return new Problem(400, 'Request validation failed', {
    'validation-errors': [
      {
        request_id: '0',
        errors: errors.map(({ path, detail }) => ({ code: 'InvalidValue', path, detail })),
      },
    ],
  });
}

/** What a refused code or refresh token gets; `hint` tells a used one from one that has ended. */
export function oauthProblem(status: 400 | 401, hint: string, detail: string): Problem {
  return new Problem(status, detail, {
    hint,
    title: 'Authorization failed',
    type: 'https://developers.amocrm.ru/v3/errors/OAuthProblemJson',
  });
}

/** The page of the web server before the application: it knows no JSON. */
export function htmlPage(status: number): string {
  const title = `${status} ${TITLES[status] ?? 'OK'}`;
  return `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n<center><h1>${title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`;
}
