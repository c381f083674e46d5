import { jidDecode, jidEncode } from '@whiskeysockets/baileys';

/** `51987654321@s.whatsapp.net`, or with a device `51987654321:3@s.whatsapp.net`. */
export function phoneJid(phone: string, device?: number): string {
  return jidEncode(phone, 's.whatsapp.net', device);
}

/** `99887766554433@lid`, or with a device `99887766554433:3@lid`. */
export function lidJid(lid: string, device?: number): string {
  return jidEncode(lid, 'lid', device);
}

/** What is before the device and the server: a phone, a LID, the id of a group. */
export function userOf(jid: string): string | undefined {
  return jidDecode(jid)?.user;
}

/** 0, a phone, when none is named. */
export function deviceOf(jid: string): number {
  return jidDecode(jid)?.device ?? 0;
}

export function isLid(jid: string): boolean {
  return jid.endsWith('@lid');
}

export function isGroup(jid: string): boolean {
  return jid.endsWith('@g.us');
}
