const BOUNDARY = 'a-boundary';

/** The content type of what `formOf` writes. */
export const FORM = `multipart/form-data; boundary=${BOUNDARY}`;

/** A form of one file, `a.csv`, after some fields. */
export function formOf(
  name: string,
  bytes: string | Buffer,
  fields: Readonly<Record<string, string>> = {},
): Buffer {
  const written = Object.entries(fields).map(([field, value]) => partOf(field, '', value));
  const file = partOf(name, '; filename="a.csv"\r\ncontent-type: text/csv', bytes);
  return Buffer.concat([...written, file, Buffer.from(`--${BOUNDARY}--\r\n`)]);
}

/** A form that has this field and no file. */
export function fieldOf(name: string, value: string): Buffer {
  return Buffer.concat([partOf(name, '', value), Buffer.from(`--${BOUNDARY}--\r\n`)]);
}

function partOf(name: string, more: string, bytes: string | Buffer): Buffer {
  const head = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"${more}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from(bytes), Buffer.from('\r\n')]);
}
