/**
 * A session with CloakQL: who is signed in, shared by every open tab of one origin.
 *
 * - Tokens are in the memory of open tabs and nowhere else. A tab that is opened or reloaded asks the others over a
 *   BroadcastChannel; when the last one closes, or is reloaded alone, the person signs in again.
 * - A refresh token may be good for one use, so one tab refreshes at a time, under a Web Lock, and the others take
 *   what it got. Within a tab, any number of callers share one refresh.
 * - Only INVALID_REFRESH_TOKEN ends a session. While Keycloak can't be reached, nobody is signed out.
 * - Signing out ends it in all tabs at once, and wins over a refresh that is under way.
 *
 * One file without imports: copy it. Web Locks need a secure context (https, or localhost); without one, tabs don't
 * wait for each other, and only the server's REFRESH_GRACE makes up for it. It needs promises and timers, and uses what
 * else a browser has where it is there. So it also works in Node.js, in jsdom and React Native, and while a server
 * renders a page: as a session of one tab, which never keeps a process alive.
 */

/** What GraphQL answered, or what came instead of an answer. */
export type Result = { data?: Record<string, unknown> | null; errors?: GraphQLFault[] };
export type GraphQLFault = { message: string; extensions?: Record<string, unknown> };

export type Credentials = { username: string; password: string; otp?: string };

/** The tokens of a session. Moments are milliseconds since 1970, by this machine's clock. */
export type Held = {
  /** One sign-in. It stays the same while tokens are refreshed. */
  readonly id: string;
  /** Grows by one with each refresh. */
  readonly version: number;
  readonly signedInAt: number;
  readonly accessToken: string;
  readonly expiresAt: number;
  readonly refreshAt: number;
  readonly refreshToken: string | null;
  readonly refreshExpiresAt: number | null;
};

export type State =
  | { readonly status: "asking" } // other tabs, whether there is a session
  | { readonly status: "signedOut"; readonly why: SignedOutReason | null }
  | { readonly status: "signedIn"; readonly held: Held };

/** Why a session ended: the person signed out, or the reason of INVALID_REFRESH_TOKEN. */
export type SignedOutReason = "SIGNED_OUT" | "EXPIRED" | "SESSION_ENDED" | "REUSED" | "INVALID";

/** The server refused: `code` and `reason` are those of the README's table of errors. */
export class Refused extends Error {
  readonly code: string;
  readonly reason: string | undefined;
  readonly extensions: Record<string, unknown>;
  constructor(fault: GraphQLFault) {
    super(fault.message);
    this.name = "Refused";
    this.extensions = fault.extensions ?? {};
    this.code = String(this.extensions.code ?? "");
    this.reason = this.extensions.reason === undefined ? undefined : String(this.extensions.reason);
  }
}

export type Options = {
  /** Of the GraphQL endpoint. */
  url: string;
  /**
   * Tabs of one origin with the same name share a session. The default is a name of the endpoint's own, in a page.
   * Outside of one, where the others in a process may be other people's, a session without a name shares nothing.
   */
  name?: string;
  /** Sends one operation, without an access token, and ends by itself. The default is a POST with `fetch`, for 30 s. */
  send?: (query: string, variables: Record<string, unknown>) => Promise<Result>;
};

const tokenFields = "accessToken expiresIn refreshToken refreshExpiresIn";
const documents = {
  login: `mutation Login($username: String!, $password: String!, $otp: String) {
  login(username: $username, password: $password, otp: $otp) { ${tokenFields} }
}`,
  refresh: `mutation Refresh($refreshToken: String!) { refresh(refreshToken: $refreshToken) { ${tokenFields} } }`,
  logout: `mutation Logout($refreshToken: String!) { logout(refreshToken: $refreshToken) }`,
};

type Tokens = { accessToken: string; expiresIn: number; refreshToken: string | null; refreshExpiresIn: number | null };

type Message =
  | { type: "ask"; question: string }
  | { type: "held"; held: Held | null; answers: string | null } // the question, where it is an answer
  | { type: "ended"; id: string; why: SignedOutReason };

const callTimeout = 30_000; // ms for one call
const turnTimeout = 2 * callTimeout; // ms to wait for a turn, which may be a refresh and a sign-out
const answerTimeout = 1_000; // ms to wait for tabs that are there
const retryAfter = 10_000; // ms until a refresh is tried again by itself that failed without a verdict
const pause = 1_000; // ms in which nobody tries again, or for as long as the server says in retryAfter
const earliest = 30_000; // ms before the end of an access token at which it is refreshed, at most
const endedKept = 100; // sessions remembered as ended
const givenKept = 10; // access tokens of one session: an operation that was sent with an older one is long over

export class Session {
  readonly #options: Options;
  readonly #name: string;
  readonly #channel: BroadcastChannel | undefined; // without one, this is the only tab
  readonly #locks: LockManager | undefined; // without them, nobody knows how many tabs there are
  readonly #listeners = new Set<() => void>();
  readonly #ended = new Set<string>();
  readonly #started: Promise<void>;
  #closed = false;
  #release: (() => void) | undefined; // gives up the lock that others count this tab by
  #state: State = { status: "asking" };
  #refreshing: { stale: string; exchange: Promise<string | undefined> } | undefined;
  #failed: { stale: string; until: number; error: unknown } | undefined; // the last refresh, by monotonic()
  #timer: Timer | undefined; // until the next refresh
  #startTimer: Timer | undefined; // until the other tabs must have answered
  #heard: ((question: string) => void) | undefined; // is told of each tab that answers, whoever asked
  #given: string[] = []; // the access tokens of the session that is held, the newest last

  constructor(options: Options) {
    this.#options = options;
    this.#name = options.name ?? `cloakql ${options.url}`;
    if (options.name !== undefined || typeof document !== "undefined") {
      this.#channel = openChannel(this.#name, (message) => this.#onMessage(message));
      this.#locks = this.#channel && typeof navigator !== "undefined" ? navigator.locks : undefined;
    }
    this.#started = this.#start();
  }

  /** The same object until something changes, as React's useSyncExternalStore wants it. */
  readonly state = (): State => this.#state;

  /** Calls the listener after each change, until the returned function is called. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Ends this tab's part in the session; other tabs keep it. */
  close(): void {
    clearTimeout(this.#timer);
    this.#closed = true;
    this.#release?.();
    this.#channel?.close();
    this.#listeners.clear();
  }

  /**
   * Signs in, and does nothing where another tab was quicker. It throws Refused where the server says no, and
   * whatever `fetch` throws where it can't be asked.
   */
  async signIn(credentials: Credentials): Promise<void> {
    await this.#ready();
    await this.#locked(async () => {
      if (this.#held()) return;
      const tokens = await this.#ask<Tokens>("login", credentials);
      const now = Date.now();
      this.#set({ status: "signedIn", held: holding(tokens, { id: randomID(), version: 1, signedInAt: now }, now) });
      this.#post({ type: "held", held: this.#held() ?? null, answers: null });
    });
  }

  /**
   * Signs out, here and in every other tab, before the server is asked. It throws where the server couldn't be
   * told: the session is forgotten then, and ends by itself when its refresh token expires.
   */
  async signOut(): Promise<void> {
    await this.#ready();
    const held = this.#held();
    if (!held) return;
    this.#end(held.id, "SIGNED_OUT");
    if (held.refreshToken) await this.#ask<boolean>("logout", { refreshToken: held.refreshToken });
  }

  /** The access token to send now, or undefined for nobody. One that has expired is refreshed first. */
  async accessToken(): Promise<string | undefined> {
    await this.#ready();
    const held = this.#held();
    if (!held || Date.now() < held.expiresAt) return held?.accessToken;
    // Where no refresh is possible now, the server decides what the old one is still good for.
    return this.refresh(held.accessToken).catch(() => this.#successor(held.accessToken));
  }

  /**
   * Trades the refresh token for new tokens, unless the access token is another than `stale` by now: then somebody has
   * done so already. Any number of callers in any number of tabs cause one exchange. It gives the newest access token,
   * or undefined where the session of `stale` has ended, also when somebody has signed in since: what one person began
   * must not be done as another. It throws where the server couldn't be asked or isn't able to answer, and for a second
   * after that, or for as long as the server says, at once.
   */
  async refresh(stale: string): Promise<string | undefined> {
    await this.#ready();
    if (this.#held()?.accessToken !== stale) return this.#successor(stale);
    if (this.#refreshing?.stale === stale) return this.#refreshing.exchange;
    if (this.#failed?.stale === stale && monotonic() < this.#failed.until) throw this.#failed.error;
    const exchange = this.#locked(() => this.#exchange(stale)).finally(() => {
      if (this.#refreshing?.exchange === exchange) this.#refreshing = undefined;
    });
    this.#refreshing = { stale, exchange };
    return exchange;
  }

  async #exchange(stale: string): Promise<string | undefined> {
    const held = this.#held();
    if (held?.accessToken !== stale) return this.#successor(stale); // while we waited for the lock
    if (!held.refreshToken) {
      this.#end(held.id, "EXPIRED");
      return undefined;
    }
    let tokens: Tokens;
    try {
      tokens = await this.#ask<Tokens>("refresh", { refreshToken: held.refreshToken });
    } catch (error) {
      if (error instanceof Refused && error.code === "INVALID_REFRESH_TOKEN") {
        if (this.#held() === held) this.#end(held.id, (error.reason ?? "INVALID") as SignedOutReason);
        return this.#successor(stale); // another tab may have been quicker
      }
      const asked = error instanceof Refused ? Number(error.extensions.retryAfter) * 1000 : NaN;
      this.#failed = { stale, until: monotonic() + Math.max(pause, asked || 0), error };
      throw error;
    }
    if (this.#held()?.id !== held.id) {
      // Signed out in the meantime. The server ends such a session by itself; asking again costs nothing.
      if (tokens.refreshToken) await this.#ask("logout", { refreshToken: tokens.refreshToken }).catch(() => undefined);
      return undefined;
    }
    const next = holding(tokens, { ...held, version: held.version + 1 }, Date.now());
    this.#set({ status: "signedIn", held: next });
    this.#post({ type: "held", held: next, answers: null });
    return next.accessToken;
  }

  /** Waits until the session has started, and keeps a process alive for that, since somebody waits. */
  async #ready(): Promise<void> {
    this.#startTimer?.ref?.();
    await this.#started;
  }

  async #start(): Promise<void> {
    const locks = this.#locks;
    if (locks) {
      // Held as long as this tab lives, so that others can count it.
      await new Promise<void>((granted) => {
        locks
          .request(`${this.#name}:tab`, { mode: "shared" }, () => {
            granted();
            return new Promise<void>((done) => (this.#closed ? done() : (this.#release = done)));
          })
          .catch(() => granted());
      });
    }
    await this.#hear((timer) => {
      this.#startTimer = timer;
      timer.unref?.();
    });
    this.#startTimer = undefined;
    if (this.#state.status === "asking") this.#set({ status: "signedOut", why: null });
  }

  /**
   * Runs f while no other tab does, and after hearing what those that did have got. A phone may stop a tab in the
   * background while its turn lasts; the others don't wait for that for ever.
   */
  async #locked<T>(f: () => Promise<T>): Promise<T> {
    const run = async () => {
      await this.#hear();
      return f();
    };
    if (!this.#locks) return run();
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), turnTimeout);
    let ours = false;
    const turn = () => {
      clearTimeout(timer);
      ours = true;
      return run();
    };
    return this.#locks.request(`${this.#name}:turn`, { signal: waiting.signal }, turn).catch((error) => {
      clearTimeout(timer);
      if (ours) throw error;
      return run();
    });
  }

  /**
   * Asks the other tabs what they hold, and waits until each has answered. A tab that is frozen or just closing
   * doesn't; it has told what it got before, or else the server's REFRESH_GRACE repeats the answer.
   */
  async #hear(started?: (timer: Timer) => void): Promise<void> {
    if (!this.#channel) return;
    let others = Infinity; // unknown
    if (this.#locks) {
      const { held = [] } = await this.#locks.query().catch(() => ({ held: [] })); // refused in a sandboxed frame
      others = held.filter((lock) => lock.name === `${this.#name}:tab`).length - 1;
    }
    if (others <= 0) return;
    const ours = randomID(); // tabs ask at the same time, and every tab hears every answer
    await new Promise<void>((resolve) => {
      const timer: Timer = setTimeout(resolve, answerTimeout);
      started?.(timer);
      this.#heard = (question) => {
        if (question !== ours || --others > 0) return;
        clearTimeout(timer);
        resolve();
      };
      this.#post({ type: "ask", question: ours });
    });
    this.#heard = undefined;
  }

  #onMessage(message: Message): void {
    switch (message.type) {
      case "ask":
        this.#post({ type: "held", held: this.#held() ?? null, answers: message.question });
        break;
      case "held":
        if (message.held) this.#take(message.held);
        if (message.answers !== null) this.#heard?.(message.answers);
        break;
      case "ended":
        this.#forget(message.id, message.why);
        break;
    }
  }

  /** Takes what another tab holds, where it is newer. */
  #take(theirs: Held): void {
    if (this.#ended.has(theirs.id)) return;
    const ours = this.#held();
    const newer = !ours || (ours.id === theirs.id ? theirs.version > ours.version : theirs.signedInAt > ours.signedInAt);
    if (newer) this.#set({ status: "signedIn", held: theirs });
  }

  #end(id: string, why: SignedOutReason): void {
    this.#forget(id, why);
    this.#post({ type: "ended", id, why });
  }

  #forget(id: string, why: SignedOutReason): void {
    this.#ended.add(id);
    for (const oldest of this.#ended) {
      if (this.#ended.size <= endedKept) break;
      this.#ended.delete(oldest);
    }
    if (this.#held()?.id === id) this.#set({ status: "signedOut", why });
  }

  /** The newest access token of the session that `stale` belongs to, while that is the one that is held. */
  #successor(stale: string): string | undefined {
    return this.#given.includes(stale) ? this.#held()?.accessToken : undefined;
  }

  #held(): Held | undefined {
    return this.#state.status === "signedIn" ? this.#state.held : undefined;
  }

  #set(state: State): void {
    const before = this.#held()?.id;
    this.#state = state;
    const held = this.#held();
    this.#given = held ? [...(held.id === before ? this.#given : []), held.accessToken].slice(-givenKept) : [];
    this.#schedule(state.status === "signedIn" ? state.held.refreshAt - Date.now() : undefined);
    for (const listener of [...this.#listeners]) listener();
  }

  /** Refreshes before the token expires. Every tab does; the first one's tokens are the others' too. */
  #schedule(delay: number | undefined): void {
    clearTimeout(this.#timer);
    if (delay === undefined || this.#closed) return;
    const least = 1_000; // however short its tokens live
    const most = 2 ** 31 - 1; // what a timer can hold: 24 days
    this.#timer = setTimeout(() => {
      const held = this.#held();
      if (!held) return;
      if (Date.now() < held.refreshAt) return this.#schedule(held.refreshAt - Date.now());
      this.refresh(held.accessToken).catch(() => this.#held() && this.#schedule(retryAfter));
    }, Math.min(Math.max(delay, least), most));
    this.#timer.unref?.();
  }

  #post(message: Message): void {
    if (!this.#closed) this.#channel?.postMessage(message);
  }

  async #ask<T>(field: keyof typeof documents, variables: Record<string, unknown>): Promise<T> {
    const send = this.#options.send ?? this.#fetch;
    const { data, errors } = await send(documents[field], variables);
    if (errors?.[0]) throw new Refused(errors[0]);
    if (data?.[field] == null) throw new Error("The server's answer isn't GraphQL");
    return data[field] as T;
  }

  readonly #fetch = async (query: string, variables: Record<string, unknown>): Promise<Result> => {
    if (typeof fetch === "undefined") throw new Error("There is no fetch here: give the session the option send");
    return withTimeout(callTimeout, async (signal) => {
      const response = await fetch(this.#options.url, {
        method: "POST",
        headers: { "content-type": "application/json", accept: "application/graphql-response+json, application/json;q=0.9" },
        body: JSON.stringify({ query, variables }),
        signal,
      });
      return response.json();
    });
  };
}

/** A timer of a browser, or of Node.js, where one keeps the process alive unless it is told not to. */
type Timer = ReturnType<typeof setTimeout> & { ref?(): void; unref?(): void };

/** A channel to the other tabs, or undefined where there are none: jsdom, React Native, a page that may not store. */
function openChannel(name: string, onMessage: (message: Message) => void): BroadcastChannel | undefined {
  if (typeof BroadcastChannel === "undefined") return undefined;
  try {
    const channel: BroadcastChannel & { unref?(): void } = new BroadcastChannel(name);
    channel.onmessage = (event) => onMessage(event.data);
    channel.unref?.(); // in Node.js
    return channel;
  } catch {
    return undefined;
  }
}

/** Runs f for at most ms, and aborts what it does by then. AbortSignal.timeout isn't in Safari before 16, nor in jsdom. */
export async function withTimeout<T>(ms: number, f: (signal: AbortSignal | null) => Promise<T>): Promise<T> {
  const controller = typeof AbortController === "undefined" ? undefined : new AbortController();
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error("The server didn't answer in time"));
      controller?.abort();
    }, ms);
  });
  try {
    return await Promise.race([f(controller?.signal ?? null), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Milliseconds of a clock that nobody sets, where there is one. */
function monotonic(): number {
  return typeof performance === "undefined" ? Date.now() : performance.now();
}

function holding(tokens: Tokens, session: Pick<Held, "id" | "version" | "signedInAt">, now: number): Held {
  const lifetime = tokens.expiresIn * 1000;
  return {
    id: session.id,
    version: session.version,
    signedInAt: session.signedInAt,
    accessToken: tokens.accessToken,
    expiresAt: now + lifetime,
    refreshAt: now + lifetime - (tokens.refreshToken === null ? 0 : Math.min(earliest, lifetime / 4)),
    refreshToken: tokens.refreshToken,
    refreshExpiresAt: tokens.refreshExpiresIn === null ? null : now + tokens.refreshExpiresIn * 1000,
  };
}

/** Tells sessions, and questions, apart. Nobody has to be kept from guessing it, so Math.random will do. */
function randomID(): string {
  const bytes = new Uint8Array(16);
  if (typeof crypto === "undefined" || !crypto.getRandomValues) bytes.forEach((_, i) => (bytes[i] = Math.random() * 256));
  else crypto.getRandomValues(bytes);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
