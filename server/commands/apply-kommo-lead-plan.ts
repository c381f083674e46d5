import { judgeLook, type KnownLook } from '../kommo/map-looks.ts';
import type { FollowedLead, MappedLead } from '../kommo/map-lead.ts';

/** A lead of ours that is one of Kommo's; times and numbers as Postgres prints them. */
export type StoredLead = {
  readonly id: number;
  readonly kommoId: number;
  readonly contactId: number;
  readonly title: string;
  readonly value: string;
  readonly currency: string;
  readonly pipelineId: number;
  /** Which one of Kommo's that is; null: one of people's own. */
  readonly kommoPipelineId: number | null;
  /** Kommo has it, and people no longer follow it. */
  readonly isUnfollowed: boolean;
  readonly stageId: number;
  readonly assignedTo: number | null;
  readonly closeReason: string | null;
  readonly closedAt: string | null;
  readonly isArchived: boolean;
  /** Undefined: this connection has not written it yet. */
  readonly look: StoredLook | undefined;
  readonly isOthers: boolean;
};

type StoredLook = KnownLook & {
  readonly given: readonly string[];
  readonly assignedTo: number | null;
  readonly isAway: boolean;
  /** It is in the archive, or in the trash, because we put it there. */
  readonly isArchivedByUs: boolean;
  readonly isTrashedByUs: boolean;
  /** The contact that was made for it, and what it is called, if it is still there. */
  readonly placeholderId: number | null;
  readonly placeholderName: string | null;
};

/** The contact of a lead: ours, or one that is made for it. */
export type LeadContact =
  | { readonly kind: 'known'; readonly id: number }
  | { readonly kind: 'placeholder' };

type LeadValues = {
  readonly title: string;
  readonly value: string;
  readonly currency: string | null;
  readonly stage_id: number;
  readonly assigned_to: number | null;
  readonly close_reason: string | null;
  readonly closed_at: string | null;
  readonly custom_fields: Record<string, unknown>;
  readonly gone_fields: readonly string[];
};

export type LeadTarget = {
  readonly look: MappedLead;
  /** Undefined: a new one is made. */
  readonly lead: StoredLead | undefined;
  readonly contact: LeadContact;
  readonly values: LeadValues;
  /** In the archive from now on, out of it, or wherever it is. */
  readonly archive: 'in' | 'out' | 'as it is';
  readonly isUntrashed: boolean;
  /** The placeholder that it no longer needs, or that is to be called like it. */
  readonly leftId: number | undefined;
  readonly renamedId: number | undefined;
  /** Kept with the look. */
  readonly note: {
    readonly given: readonly string[];
    readonly assignedTo: number | null;
    readonly placeholderId: number | null;
    readonly hasPlaceholder: boolean;
    /** It went where nobody follows it. */
    readonly isAway: boolean;
    readonly isMisplaced: boolean;
  };
};

export type LeadPlan = {
  readonly targets: readonly LeadTarget[];
  /** Looks that say that they were deleted. */
  readonly tombstones: readonly MappedLead[];
};

/** Whether a look asks for anything, as far as that can be said without its row. What was never here and is not followed does not. */
export function isOfInterest(look: MappedLead, known: KnownLook | undefined): boolean {
  return (known !== undefined || !look.isAway) && judgeLook(look, known) !== 'nothing';
}

/** Decides what a page of looks does, without a database. `contacts`: ours by Kommo's ids, of all that they name. */
export function planLeads(
  looks: readonly MappedLead[],
  stored: readonly StoredLead[],
  contacts: ReadonlyMap<number, number>,
): LeadPlan {
  const leads = new Map(stored.map((lead) => [lead.kommoId, lead]));
  const targets: LeadTarget[] = [];
  const tombstones: MappedLead[] = [];
  for (const look of looks) {
    const lead = leads.get(look.id);
    if (lead?.isOthers || (look.isAway && !lead)) continue;
    const verdict = judgeLook(look, lead?.look);
    if (verdict === 'tombstone') tombstones.push(look);
    if (verdict !== 'write' || (lead && isFrozen(look, lead))) continue;
    const target = look.isAway ? planAway(look, lead) : planFollowed(look, lead, contacts);
    if (target) targets.push(target);
  }
  return { targets, tombstones };
}

/**
 * What came of a pipeline stays as it was when people stopped following it, or when it went to Kommo's archive, whatever
 * becomes of its leads over there; but for the trash. How they look is not noted, so that they are looked at anew once it
 * is followed again.
 */
function isFrozen(look: MappedLead, lead: StoredLead): boolean {
  return look.isAway && lead.look?.deletedAt === null && hasStayed(look, lead);
}

/** It is not the lead that went away. */
function hasStayed(look: MappedLead, lead: StoredLead): boolean {
  if (lead.look?.isAway) return false;
  return lead.isUnfollowed || lead.kommoPipelineId === look.kommoPipelineId;
}

/** A lead that went where nobody follows it goes to the archive, as it was. One that has stayed comes out of the trash. */
function planAway(look: MappedLead, lead: StoredLead | undefined): LeadTarget | undefined {
  if (!lead) return undefined;
  const placeholderId = lead.look?.placeholderId ?? null;
  const isLeft = !hasStayed(look, lead);
  const { title, value, currency, stageId, assignedTo, closeReason, closedAt } = lead;
  return {
    look: isLeft || !lead.look ? look : { ...look, hash: lead.look.hash },
    lead,
    contact: { kind: 'known', id: lead.contactId },
    values: {
      title,
      value,
      currency,
      stage_id: stageId,
      assigned_to: assignedTo,
      close_reason: closeReason,
      closed_at: closedAt,
      custom_fields: {},
      gone_fields: [],
    },
    archive: isLeft && !lead.look?.isAway ? 'in' : 'as it is',
    isUntrashed: lead.look?.isTrashedByUs ?? false,
    leftId: undefined,
    renamedId: undefined,
    note: {
      given: lead.look?.given ?? [],
      assignedTo: lead.look?.assignedTo ?? null,
      placeholderId,
      hasPlaceholder: placeholderId !== null,
      isAway: isLeft,
      isMisplaced: false,
    },
  };
}

function planFollowed(
  look: MappedLead & FollowedLead,
  lead: StoredLead | undefined,
  contacts: ReadonlyMap<number, number>,
): LeadTarget {
  const before = lead?.look;
  const { contact, placeholderId } = contactOf(look, lead, contacts);
  const hasPlaceholder = look.contactId === undefined;
  const left = before?.placeholderId ?? undefined;
  const isRenamed =
    hasPlaceholder && left !== undefined && before?.placeholderName === nameOf(lead?.title ?? '');
  return {
    look,
    lead,
    contact,
    values: valuesOf(look, lead),
    archive: before?.isArchivedByUs ? 'out' : 'as it is',
    isUntrashed: before?.isTrashedByUs ?? false,
    leftId: hasPlaceholder ? undefined : left,
    renamedId: isRenamed && lead?.title !== look.title ? left : undefined,
    note: {
      given: givenBy(look),
      assignedTo: look.assignedTo ?? null,
      placeholderId,
      hasPlaceholder,
      isAway: false,
      isMisplaced: look.stageId === undefined,
    },
  };
}

/**
 * Kommo's contact; without one, what the lead has had since it has none (people may have merged it into somebody), or
 * else a contact of its own.
 */
function contactOf(
  look: FollowedLead,
  lead: StoredLead | undefined,
  contacts: ReadonlyMap<number, number>,
): { contact: LeadContact; placeholderId: number | null } {
  if (look.contactId !== undefined)
    return {
      contact: { kind: 'known', id: contacts.get(look.contactId) ?? 0 },
      placeholderId: null,
    };
  const kept = lead && (lead.look ? lead.look.placeholderId : lead.contactId);
  if (!lead || !kept) return { contact: { kind: 'placeholder' }, placeholderId: null };
  return { contact: { kind: 'known', id: lead.contactId }, placeholderId: kept };
}

/** What Kommo has it says; what it had and has no more is cleared; what it never had is not Kommo's to clear. */
function valuesOf(look: FollowedLead, lead: StoredLead | undefined): LeadValues {
  const before = lead?.look;
  const given = new Set(before?.given);
  const wasOurs = before !== undefined && before.assignedTo === lead?.assignedTo;
  const stays = lead?.pipelineId === look.pipeline.id ? lead.stageId : undefined;
  const keptReason = given.has('closeReason') ? null : (lead?.closeReason ?? null);
  return {
    title: look.title,
    value: look.value,
    currency: look.currency ?? lead?.currency ?? null,
    stage_id: look.stageId ?? stays ?? look.pipeline.firstStageId,
    assigned_to: look.assignedTo ?? (wasOurs ? null : (lead?.assignedTo ?? null)),
    close_reason: look.closeReason ?? keptReason,
    // While it is open the database keeps it empty.
    closed_at: look.isClosed ? (look.closedAt ?? lead?.closedAt ?? null) : null,
    custom_fields: Object.fromEntries(look.fields),
    gone_fields: [...given].flatMap((name) =>
      name.startsWith('field:') ? [name.slice('field:'.length)] : [],
    ),
  };
}

function givenBy(look: FollowedLead): string[] {
  return [
    ...(look.closeReason === undefined ? [] : ['closeReason']),
    ...[...look.fields.keys()].map((name) => `field:${name}`),
  ];
}

/** A contact of a lead's own is called like it, as far as a contact's name goes. */
export function nameOf(title: string): string {
  return Array.from(title).slice(0, 200).join('');
}
