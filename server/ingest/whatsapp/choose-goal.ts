import type { DeviceCode, DeviceStatus } from '../../../domain/device-status.ts';
import type { DeviceView, Pairing } from './connections.ts';

export type Goal =
  /** Logged in if it is linked; else paired, if people ask for that. */
  | { readonly kind: 'connect'; readonly pairing: Pairing | undefined }
  | { readonly kind: 'logout' }
  /** Nothing is to be done. Undefined: and nothing to be said. */
  | { readonly kind: 'rest'; readonly state: RestState | undefined };

type RestState = { readonly status: DeviceStatus; readonly code: DeviceCode | undefined };

/** Pure. What there is to do for a device, as people have it. */
export function chooseGoal(view: DeviceView): Goal {
  const { wanted, isActive, status, code, hasSession, pairing } = view;
  if (wanted === 'logged_out')
    return hasSession && status !== 'logged_out'
      ? { kind: 'logout' }
      : { kind: 'rest', state: status === 'logged_out' ? undefined : rest('logged_out') };
  if (!isActive || wanted !== 'connected') {
    // What it was before is still so: nobody has connected it.
    const isOff = status === 'disconnected' || status === 'logged_out' || status === 'banned';
    if (isOff && wanted !== 'connected') return { kind: 'rest', state: undefined };
    const why = wanted === 'connected' ? 'account_inactive' : undefined;
    return { kind: 'rest', state: rest('disconnected', why) };
  }
  if (code !== undefined) return { kind: 'rest', state: undefined };
  const asked = pairing?.isExpired === false ? pairing : undefined;
  if (!hasSession && !asked) return { kind: 'rest', state: rest('disconnected', 'not_paired') };
  return { kind: 'connect', pairing: asked };
}

const rest = (status: DeviceStatus, code?: DeviceCode): RestState => ({ status, code });

/** Pure. It is to be connected, and nothing says that this cannot be. */
export function isStillConnected({ wanted, isActive, code }: DeviceView): boolean {
  return wanted === 'connected' && isActive && code === undefined;
}

/** Pure. The pairing that is under way is still the one that people ask for; its row goes when it is done. */
export function isStillAsked(pairing: Pairing, { pairing: now }: DeviceView): boolean {
  return now?.id === pairing.id && now.kind === pairing.kind && now.phone === pairing.phone;
}
