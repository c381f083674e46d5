import type { KommoLead } from './documents.ts';
import { LOST_STATUS_ID, WON_STATUS_ID } from './documents.ts';
import { mapCustomFields, type MappedFields } from './map-custom-fields.ts';
import { mapTags, type MappedTag } from './map-tags.ts';
import { hashOf, mapText, mapTime, mapValue } from './map-values.ts';

/** Our pipeline that follows one of Kommo's. */
export type FollowedPipeline = {
  readonly id: number;
  /** Ours, by Kommo's status ids. */
  readonly stages: ReadonlyMap<number, number>;
  /** Where a lead goes whose stage we do not know. */
  readonly firstStageId: number;
};

/** What leads refer to, by Kommo's ids. */
export type LeadWorld = {
  /** Of the Kommo account; undefined while it has not said it. */
  readonly currency: string | undefined;
  readonly pipelines: ReadonlyMap<number, FollowedPipeline>;
  /** Users of ours. */
  readonly members: ReadonlyMap<number, number>;
  /** Contacts that Kommo names and does not show. */
  readonly absentContacts: ReadonlySet<number>;
};

type Look = {
  readonly id: number;
  /** Unix seconds by Kommo's clock. */
  readonly updatedAt: number;
  readonly isDeleted: boolean;
  /** Kommo's id of the pipeline that it is in. */
  readonly kommoPipelineId: number;
  /** Of all that is mapped but createdAt. */
  readonly hash: string;
};

/** A lead of Kommo's in our terms, as it looked when it was read. */
export type MappedLead = Look &
  /** In a pipeline that is not followed: nothing of it is of interest. */
  ({ readonly isAway: true } | ({ readonly isAway: false } & FollowedLead));

export type FollowedLead = {
  /** RFC 3339. */
  readonly createdAt: string;
  readonly title: string;
  readonly value: string;
  readonly currency: string | undefined;
  readonly pipeline: FollowedPipeline;
  /** Undefined: it is in none that we know. */
  readonly stageId: number | undefined;
  readonly assignedTo: number | undefined;
  /** Kommo's id of its main contact. */
  readonly contactId: number | undefined;
  readonly isClosed: boolean;
  readonly closeReason: string | undefined;
  /** RFC 3339. */
  readonly closedAt: string | undefined;
  readonly fields: MappedFields;
  readonly tags: readonly MappedTag[];
};

const TITLE_MAX = 300;
const REASON_MAX = 500;

/** In the hash are our stage and member too: one that appears later changes the lead when it is next looked at. */
export function mapLead(lead: KommoLead, world: LeadWorld): MappedLead {
  const look = {
    id: lead.id,
    updatedAt: lead.updated_at,
    isDeleted: lead.is_deleted ?? false,
    kommoPipelineId: lead.pipeline_id,
  };
  const pipeline = world.pipelines.get(lead.pipeline_id);
  if (!pipeline) return { ...look, isAway: true, hash: hashOf(['away']) };
  const followed = mapFollowed(lead, pipeline, world);
  return {
    ...look,
    ...followed,
    isAway: false,
    hash: hashOf([
      followed.title,
      followed.value,
      followed.currency ?? null,
      pipeline.id,
      followed.stageId ?? null,
      followed.assignedTo ?? null,
      followed.contactId ?? null,
      followed.closeReason ?? null,
      followed.closedAt ?? null,
      [...followed.fields],
      followed.tags.map(({ id }) => id),
    ]),
  };
}

function mapFollowed(
  lead: KommoLead,
  pipeline: FollowedPipeline,
  { currency, members, absentContacts }: LeadWorld,
): FollowedLead {
  const isClosed = lead.status_id === WON_STATUS_ID || lead.status_id === LOST_STATUS_ID;
  const contactId = mainContactOf(lead);
  const [reason] = lead._embedded?.loss_reason ?? [];
  return {
    createdAt: mapTime(lead.created_at),
    title: mapText(lead.name, TITLE_MAX) ?? `Lead #${lead.id}`,
    value: mapValue(lead.price),
    currency,
    pipeline,
    stageId: pipeline.stages.get(lead.status_id),
    assignedTo: members.get(lead.responsible_user_id ?? 0),
    contactId: contactId !== undefined && absentContacts.has(contactId) ? undefined : contactId,
    isClosed,
    closeReason: isClosed ? mapText(reason?.name, REASON_MAX) : undefined,
    closedAt: isClosed && lead.closed_at ? mapTime(lead.closed_at) : undefined,
    fields: mapCustomFields(lead.custom_fields_values),
    tags: mapTags(lead._embedded?.tags),
  };
}

/** Kommo's id of the contact that a lead is of: the main one, or else the first. */
export function mainContactOf(lead: KommoLead): number | undefined {
  const contacts = lead._embedded?.contacts ?? [];
  return (contacts.find(({ is_main }) => is_main) ?? contacts[0])?.id;
}
