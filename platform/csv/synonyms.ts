/** Spanish and English headers of contact lists, of spreadsheets and of what phones and mail programs export. */
const SYNONYMS = {
  name: `nombre, nombres, primer nombre, nombre completo, nombre y apellido, nombre y apellidos, nombres y apellidos,
    apellidos y nombres, contacto, nombre contacto, cliente, nombre cliente, name, names, first name, given name,
    full name, contact, contact name, customer, customer name`,
  last_name: 'apellido, apellidos, primer apellido, last name, surname, family name',
  short_name: 'nombre corto, apodo, alias, short name, nickname',
  phone: `telefono, telefonos, tel, telf, tlf, fono, celular, cel, whatsapp, wsp, movil, numero, numero telefono,
    numero celular, numero whatsapp, numero movil, telefono movil, telefono celular, phone, phones, telephone, mobile,
    cell, cellphone, phone number, mobile phone, mobile number, whatsapp number, number`,
  email: `correo, correos, correo electronico, direccion correo, direccion correo electronico, mail, email, emails,
    email address`,
  company: `empresa, nombre empresa, compania, organizacion, negocio, razon social, company, company name, organization,
    organization name, organisation`,
  tags: 'etiqueta, etiquetas, tag, tags, label, labels',
  notes:
    'nota, notas, observacion, observaciones, comentario, comentarios, note, notes, comment, comments',
  age: 'edad, age',
  source: 'fuente, origen, procedencia, source, lead source',
} as const;

const FIELDS: ReadonlyMap<string, string> = new Map(
  Object.entries(SYNONYMS).flatMap(([field, headers]) =>
    headers.split(',').map((header) => [normalizeHeader(header), field] as const),
  ),
);

/** The contact field that people mean by this header, if it is one of those above. */
export function fieldNamed(header: string): string | undefined {
  return FIELDS.get(normalizeHeader(header));
}

/**
 * Letters only, without case, accents, articles, numbers and what address books add: `Número de teléfono` is
 * numerotelefono, `firstName` firstname, `Phone 1 - Value` phone.
 */
function normalizeHeader(header: string): string {
  return header
    .normalize('NFD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .split(/[^a-z]+/)
    .filter((word) => !/^(?:de|del|el|la|n|no|nro|the|value)$/.test(word))
    .join('');
}
