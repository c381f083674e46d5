import { deflateSync } from 'node:zlib';

/** A picture of sixty-four by sixty-four, three colours in stripes: PNG (RFC 2083), made here. */
const SIDE = 64;
const COLOURS = [
  [37, 211, 102],
  [250, 250, 250],
  [7, 94, 84],
] as const;
const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** Eight bits of red, green and blue; no interlacing. */
const FORMAT = [8, 2, 0, 0, 0];

export const PICTURE: Buffer = draw();

function draw(): Buffer {
  const lines = Array.from({ length: SIDE }, (_, y) => {
    const [red, green, blue] = COLOURS[Math.floor((y * COLOURS.length) / SIDE)] ?? COLOURS[0];
    // Every line begins with its filter: none.
    return Buffer.from([0, ...Array.from({ length: SIDE }, () => [red, green, blue]).flat()]);
  });
  const head = Buffer.alloc(13);
  head.writeUInt32BE(SIDE, 0);
  head.writeUInt32BE(SIDE, 4);
  head.set(FORMAT, 8);
  return Buffer.concat([
    SIGNATURE,
    chunk('IHDR', head),
    chunk('IDAT', deflateSync(Buffer.concat(lines))),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc(body));
  return Buffer.concat([length, body, check]);
}

/** CRC-32, as in ISO 3309. */
function crc(bytes: Buffer): number {
  let value = 0xffff_ffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit += 1) {
      value = (value & 1) === 1 ? (value >>> 1) ^ 0xedb8_8320 : value >>> 1;
    }
  }
  return (value ^ 0xffff_ffff) >>> 0;
}
