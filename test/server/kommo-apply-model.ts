/** What the oracle of the random test has of an account: rows with their values, and nothing of how they came to them. */
export type ModelContact = {
  kommoId: number | undefined;
  jid: string | null;
  phone: string | null;
  name: string | null;
  lastName: string | null;
  email: string | null;
  pushName: string | null;
  notes: string | null;
  source: string;
  isBarred: boolean;
  isDeleted: boolean;
  fields: Record<string, unknown>;
  tags: Set<string>;
};

export type ModelLead = {
  kommoId: number;
  contact: ModelContact;
  title: string;
  value: string;
  status: number;
  assignedTo: number | null;
  closeReason: string | null;
  closedAt: number | null;
  notes: string | null;
  isArchived: boolean;
  isTrashed: boolean;
  isDeleted: boolean;
  fields: Record<string, unknown>;
  tags: Set<string>;
};

export function bareContact(): ModelContact {
  return {
    kommoId: undefined,
    jid: null,
    phone: null,
    name: null,
    lastName: null,
    email: null,
    pushName: null,
    notes: null,
    source: 'kommo',
    isBarred: false,
    isDeleted: false,
    fields: {},
    tags: new Set(),
  };
}
