import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';

/**
 * A certificate of our own for 127.0.0.1, made with node:crypto alone: X.509 version 3 (RFC 5280) in DER (X.690), P-256
 * with SHA-256 (RFC 5758), signed with its own key. Clients trust it as an authority, by NODE_EXTRA_CA_CERTS.
 */
export type Certificate = {
  /** PEM, as `tls.createServer` takes it. */
  readonly key: string;
  readonly certificate: string;
};

const DAY_MS = 86_400_000;
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  oid: 0x06,
  utf8: 0x0c,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
} as const;
const OID = {
  ecdsaWithSha256: '2a8648ce3d040302',
  commonName: '550403',
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
} as const;
/** digitalSignature and keyCertSign: bits 0 and 5, two unused at the end. */
const KEY_USAGE = Buffer.from([2, 0b1000_0100]);
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;
const explicit = (number: number): number => 0xa0 + number;

export function makeCertificate(commonName: string, now = Date.now()): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = der(TAG.sequence, oid(OID.ecdsaWithSha256));
  const name = der(
    TAG.sequence,
    der(TAG.set, der(TAG.sequence, oid(OID.commonName), der(TAG.utf8, Buffer.from(commonName)))),
  );
  const body = der(
    TAG.sequence,
    der(explicit(0), der(TAG.integer, Buffer.from([2]))),
    der(TAG.integer, serialNumber()),
    algorithm,
    name,
    der(TAG.sequence, time(now - DAY_MS), time(now + 365 * DAY_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(explicit(3), der(TAG.sequence, ...extensions())),
  );
  const signature = sign('sha256', body, privateKey);
  const bits = der(TAG.bits, Buffer.concat([Buffer.from([0]), signature]));
  const whole = der(TAG.sequence, body, algorithm, bits);
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: pem(whole),
  };
}

function extensions(): Buffer[] {
  const isAuthority = der(TAG.sequence, der(TAG.boolean, Buffer.from([0xff])));
  const names = der(
    TAG.sequence,
    der(IP_ADDRESS, Buffer.from([127, 0, 0, 1])),
    der(DNS_NAME, Buffer.from('localhost')),
  );
  const critical = der(TAG.boolean, Buffer.from([0xff]));
  const extension = (id: string, value: Buffer, ...flags: Buffer[]): Buffer =>
    der(TAG.sequence, oid(id), ...flags, der(TAG.octets, value));
  return [
    extension(OID.basicConstraints, isAuthority, critical),
    extension(OID.keyUsage, der(TAG.bits, KEY_USAGE), critical),
    extension(OID.subjectAltName, names),
  ];
}

/** Positive, and never with a needless zero in front. */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

function oid(hex: string): Buffer {
  return der(TAG.oid, Buffer.from(hex, 'hex'));
}

/** `YYMMDDhhmmssZ`: good until 2049. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/\D/g, '').slice(2, 14);
  return der(TAG.utcTime, Buffer.from(`${digits}Z`));
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), length(content.length), content]);
}

function length(count: number): Buffer {
  if (count < 0x80) return Buffer.from([count]);
  const bytes: number[] = [];
  for (let rest = count; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from([0x80 + bytes.length, ...bytes]);
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
