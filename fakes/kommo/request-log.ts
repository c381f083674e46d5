/** One request, as far as tests ask about it. Nothing of its headers and bodies: tokens are there. */
export type LoggedRequest = {
  /** 1 for the first. */
  readonly number: number;
  /** When its head had come, of the wire's clock, milliseconds. */
  readonly atMs: number;
  /** From X-Forwarded-For, else of the socket. */
  readonly address: string;
  /** As in the address that was asked. */
  readonly subdomain: string | undefined;
  readonly endpoint: string;
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** Of the answer; undefined while there is none and where none was given. */
  status: number | undefined;
  /** Rows of a list that were answered. */
  rows: number | undefined;
  /** Kinds of the faults that it met. */
  faults: readonly string[];
};

export type RequestFilter = {
  readonly address?: string | undefined;
  readonly subdomain?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly status?: number | undefined;
  /** Numbers above it. */
  readonly after?: number | undefined;
};

const REQUESTS_KEPT_MAX = 100_000;

/** Every request under the API and OAuth. Counts and peaks are over all of them, the list is of the last ones. */
export class RequestLog {
  #requests: LoggedRequest[] = [];
  #count = 0;
  readonly #lastSecondMs = new Map<string, number[]>();
  readonly #peaks = new Map<string, number>();

  get count(): number {
    return this.#count;
  }

  add(request: Omit<LoggedRequest, 'number' | 'status' | 'rows' | 'faults'>): LoggedRequest {
    this.#count += 1;
    const logged: LoggedRequest = {
      ...request,
      number: this.#count,
      status: undefined,
      rows: undefined,
      faults: [],
    };
    this.#requests.push(logged);
    if (this.#requests.length > REQUESTS_KEPT_MAX * 1.1) {
      this.#requests = this.#requests.slice(-REQUESTS_KEPT_MAX);
    }
    const { address, atMs } = request;
    const recent = (this.#lastSecondMs.get(address) ?? []).filter((each) => each > atMs - 1_000);
    recent.push(atMs);
    this.#lastSecondMs.set(address, recent);
    this.#peaks.set(address, Math.max(this.#peaks.get(address) ?? 0, recent.length));
    return logged;
  }

  /** Oldest first. */
  list(filter: RequestFilter = {}): LoggedRequest[] {
    const { address, subdomain, endpoint, status, after } = filter;
    return this.#requests.filter(
      (request) =>
        (address === undefined || request.address === address) &&
        (subdomain === undefined || request.subdomain === subdomain) &&
        (endpoint === undefined || request.endpoint === endpoint) &&
        (status === undefined || request.status === status) &&
        (after === undefined || request.number > after),
    );
  }

  /** The most requests from one address within any span of a second, wherever it begins; of the worst without one. */
  mostInAnySecond(address?: string): number {
    if (address !== undefined) return this.#peaks.get(address) ?? 0;
    return Math.max(0, ...this.#peaks.values());
  }

  addresses(): string[] {
    return [...this.#peaks.keys()];
  }

  /** Numbers go on. */
  clear(): void {
    this.#requests = [];
    this.#lastSecondMs.clear();
    this.#peaks.clear();
  }
}
