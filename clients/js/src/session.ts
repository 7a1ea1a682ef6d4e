/**
 * A session with CloakQL: who is signed in, shared by all open tabs of one origin.
 *
 * - Tokens are kept only in the memory of open tabs. A tab that is opened or reloaded asks the others over a
 *   BroadcastChannel. When the only tab is closed or reloaded, the user has to sign in again.
 * - The realm may accept a refresh token only once, so one tab at a time refreshes, under a Web Lock, and the others
 *   take its tokens. Within a tab, any number of callers share one refresh.
 * - Only INVALID_REFRESH_TOKEN ends a session. While Keycloak can't be reached, no user is signed out.
 * - Signing out ends the session in all tabs at once, and wins over a refresh in flight.
 *
 * This file imports nothing, so it can also be copied. Web Locks need a secure context (https, or localhost). Without
 * them, tabs don't wait for each other, and two of them may refresh at once: the server's REFRESH_GRACE then gives both
 * the same tokens. The session requires only promises and timers, and uses other features of a browser if they exist.
 * So it also works in Node.js, jsdom and React Native, and while a server renders a page: there it is a session of one
 * tab, and it never keeps a process alive.
 */

/** A GraphQL response. */
export type GraphQLResponse = { data?: Record<string, unknown> | null; errors?: ResponseError[] };
export type ResponseError = { message: string; extensions?: Record<string, unknown> };

export type Credentials = { username: string; password: string; otp?: string };

/** The tokens of a session. Times are milliseconds since 1970, by this machine's clock. */
export type Tokens = {
  /** Identifies one sign-in: it stays the same while tokens are refreshed. */
  readonly sessionID: string;
  /** Grows by one with each refresh. */
  readonly version: number;
  readonly signedInAt: number;
  readonly accessToken: string;
  readonly expiresAt: number;
  readonly refreshAt: number;
  readonly refreshToken: string | null;
  readonly refreshExpiresAt: number | null;
};

export type SessionState =
  | { readonly status: "loading" } // until other tabs have said whether there is a session
  | { readonly status: "signedOut"; readonly reason: SignedOutReason | null }
  | { readonly status: "signedIn"; readonly tokens: Tokens };

/**
 * Why a session ended: the user signed out, or the reason of INVALID_REFRESH_TOKEN. A server may have reasons that
 * this file doesn't know.
 */
export type SignedOutReason = "SIGNED_OUT" | "EXPIRED" | "SESSION_ENDED" | "REUSED" | "INVALID" | (string & {});

/**
 * An error that the server returned. `code` and `reason` are those in docs/errors.md, or the application's own. `code`
 * is empty if the error has none.
 */
export class ServerError extends Error {
  readonly code: string;
  readonly reason: string | undefined;
  readonly extensions: Record<string, unknown>;
  constructor({ message, extensions = {} }: ResponseError) {
    super(message);
    this.name = "ServerError";
    this.extensions = extensions;
    this.code = String(extensions.code ?? "");
    this.reason = extensions.reason === undefined ? undefined : String(extensions.reason);
  }
}

export type SessionOptions = {
  /** The URL of the GraphQL endpoint. */
  url: string;
  /**
   * Tabs of one origin with the same name share a session. In a page, the default is a name made of the URL. Outside
   * of a page, a process may serve several people, so a session without a name shares nothing.
   */
  name?: string;
  /** Sends one operation without an access token, with a timeout of its own. The default is `fetch` for at most 30 s. */
  send?: (query: string, variables: Record<string, unknown>) => Promise<GraphQLResponse>;
};

const tokenFields = "accessToken expiresIn refreshToken refreshExpiresIn";
const documents = {
  login: `mutation Login($username: String!, $password: String!, $otp: String) {
  login(username: $username, password: $password, otp: $otp) { ${tokenFields} }
}`,
  refresh: `mutation Refresh($refreshToken: String!) { refresh(refreshToken: $refreshToken) { ${tokenFields} } }`,
  logout: `mutation Logout($refreshToken: String!) { logout(refreshToken: $refreshToken) }`,
};

type TokenResponse = { accessToken: string; expiresIn: number; refreshToken: string | null; refreshExpiresIn: number | null };

type Message =
  | { type: "query"; id: string }
  | { type: "tokens"; tokens: Tokens | null; queryID: string | null } // a reply to that query, or new tokens
  | { type: "ended"; sessionID: string; reason: SignedOutReason };

const callTimeout = 30_000; // ms for one call
const lockTimeout = 2 * callTimeout; // ms to wait for the lock: its holder may make two calls
const replyTimeout = 1_000; // ms to wait for the replies of other tabs
const scheduledRetryDelay = 10_000; // ms after which a failed scheduled refresh is retried
const minRetryDelay = 1_000; // ms after a failed refresh in which all callers get its error, unless retryAfter says longer
const maxRefreshLead = 30_000; // ms before its expiry at which an access token is refreshed
const maxEndedSessions = 100; // ended sessions that are remembered
const maxAccessTokens = 10; // access tokens of one session that are remembered

export class Session {
  readonly #options: SessionOptions;
  readonly #name: string;
  readonly #channel: BroadcastChannel | undefined; // undefined: this is the only tab
  readonly #locks: LockManager | undefined; // undefined: the number of tabs is unknown
  readonly #listeners = new Set<() => void>();
  readonly #endedSessionIDs = new Set<string>();
  readonly #startup: Promise<void>;
  #isClosed = false;
  #releaseTabLock: (() => void) | undefined;
  #state: SessionState = { status: "loading" };
  #refreshInFlight: { staleToken: string; exchange: Promise<string | undefined> } | undefined;
  #lastFailure: { staleToken: string; until: number; error: unknown } | undefined; // of the last refresh; until is by monotonicNow()
  #refreshTimer: Timer | undefined;
  #startTimer: Timer | undefined; // the time limit for the first replies of other tabs
  #onReply: ((queryID: string) => void) | undefined; // called for every reply, even to other tabs' queries
  #accessTokens: string[] = []; // of the current session, the newest last

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#name = options.name ?? `cloakql ${options.url}`;
    if (options.name !== undefined || typeof document !== "undefined") {
      this.#channel = openChannel(this.#name, (message) => this.#onMessage(message));
      this.#locks = this.#channel && typeof navigator !== "undefined" ? navigator.locks : undefined;
    }
    this.#startup = this.#start();
  }

  /** Returns the state: the same object until it changes, as React's useSyncExternalStore requires. */
  readonly state = (): SessionState => this.#state;

  /** Calls the listener after each change. Returns a function that ends the subscription. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Stops timers and leaves the shared session, which other tabs keep. */
  close(): void {
    clearTimeout(this.#refreshTimer);
    this.#isClosed = true;
    this.#releaseTabLock?.();
    this.#channel?.close();
    this.#listeners.clear();
  }

  /**
   * Signs in, or does nothing if another tab has signed in meanwhile. It throws a ServerError if the server refuses,
   * and the error of `send` or `fetch` if the server can't be reached.
   */
  async signIn(credentials: Credentials): Promise<void> {
    await this.#waitForStartup();
    await this.#withLock(async () => {
      if (this.#tokens()) return;
      const response = await this.#call<TokenResponse>("login", credentials);
      const now = Date.now();
      const tokens = toTokens(response, { sessionID: randomID(), version: 1, signedInAt: now }, now);
      this.#setState({ status: "signedIn", tokens });
      this.#broadcast({ type: "tokens", tokens, queryID: null });
    });
  }

  /**
   * Signs out, here and in all other tabs, and then tells the server. It throws if the server can't be reached
   * or refuses. Even then, the tokens are forgotten, and Keycloak's session ends when its refresh token expires.
   */
  async signOut(): Promise<void> {
    await this.#waitForStartup();
    const tokens = this.#tokens();
    if (!tokens) return;
    this.#endSession(tokens.sessionID, "SIGNED_OUT");
    if (tokens.refreshToken) await this.#call<boolean>("logout", { refreshToken: tokens.refreshToken });
  }

  /** Returns the access token to send, refreshed if it has expired, or undefined if no user is signed in. */
  async accessToken(): Promise<string | undefined> {
    await this.#waitForStartup();
    const tokens = this.#tokens();
    if (!tokens || Date.now() < tokens.expiresAt) return tokens?.accessToken;
    // If it can't be refreshed now, send the expired token: the server decides what to do with it.
    return this.refresh(tokens.accessToken).catch(() => this.#newestToken(tokens.accessToken));
  }

  /**
   * Refreshes the tokens, unless the access token has been replaced since the caller sent `staleToken`. All callers in
   * all tabs share one request. It returns the newest access token, or undefined if the session of `staleToken` has
   * ended, even if a user has signed in since: an operation that one user started must not be repeated as another. It
   * throws if the server can't be reached, or fails. For a second after that, or for as long as the server says, it
   * throws the same error without calling the server.
   */
  async refresh(staleToken: string): Promise<string | undefined> {
    await this.#waitForStartup();
    if (this.#tokens()?.accessToken !== staleToken) return this.#newestToken(staleToken);
    if (this.#refreshInFlight?.staleToken === staleToken) return this.#refreshInFlight.exchange;
    if (this.#lastFailure?.staleToken === staleToken && monotonicNow() < this.#lastFailure.until) throw this.#lastFailure.error;
    const exchange = this.#withLock(() => this.#exchangeRefreshToken(staleToken)).finally(() => {
      if (this.#refreshInFlight?.exchange === exchange) this.#refreshInFlight = undefined;
    });
    this.#refreshInFlight = { staleToken, exchange };
    return exchange;
  }

  async #exchangeRefreshToken(staleToken: string): Promise<string | undefined> {
    const tokens = this.#tokens();
    if (tokens?.accessToken !== staleToken) return this.#newestToken(staleToken); // replaced while we waited for the lock
    if (!tokens.refreshToken) {
      this.#endSession(tokens.sessionID, "EXPIRED");
      return undefined;
    }
    let response: TokenResponse;
    try {
      response = await this.#call<TokenResponse>("refresh", { refreshToken: tokens.refreshToken });
    } catch (error) {
      if (error instanceof ServerError && error.code === "INVALID_REFRESH_TOKEN") {
        if (this.#tokens() === tokens) this.#endSession(tokens.sessionID, error.reason ?? "INVALID");
        return this.#newestToken(staleToken); // another tab may have refreshed first
      }
      const retryAfter = error instanceof ServerError ? Number(error.extensions.retryAfter) * 1000 : NaN;
      this.#lastFailure = { staleToken, until: monotonicNow() + Math.max(minRetryDelay, retryAfter || 0), error };
      throw error;
    }
    if (this.#tokens()?.sessionID !== tokens.sessionID) {
      // The user has signed out meanwhile. The server then ends the new session too; a second logout does no harm.
      if (response.refreshToken) await this.#call("logout", { refreshToken: response.refreshToken }).catch(() => undefined);
      return undefined;
    }
    const newTokens = toTokens(response, { ...tokens, version: tokens.version + 1 }, Date.now());
    this.#setState({ status: "signedIn", tokens: newTokens });
    this.#broadcast({ type: "tokens", tokens: newTokens, queryID: null });
    return newTokens.accessToken;
  }

  /** Waits until the session has started. A Node.js process stays alive for it, because a caller waits. */
  async #waitForStartup(): Promise<void> {
    this.#startTimer?.ref?.();
    await this.#startup;
  }

  async #start(): Promise<void> {
    const locks = this.#locks;
    if (locks) {
      // Each tab holds a shared lock while it lives, so that the others can count the tabs.
      await new Promise<void>((resolve) => {
        locks
          .request(`${this.#name}:tab`, { mode: "shared" }, () => {
            resolve();
            return new Promise<void>((release) => (this.#isClosed ? release() : (this.#releaseTabLock = release)));
          })
          .catch(() => resolve());
      });
    }
    await this.#queryTabs((timer) => {
      this.#startTimer = timer;
      timer.unref?.();
    });
    this.#startTimer = undefined;
    if (this.#state.status === "loading") this.#setState({ status: "signedOut", reason: null });
  }

  /**
   * Runs f while no other tab runs its own, after asking the other tabs for newer tokens. A phone may freeze the tab
   * that holds the lock, so after lockTimeout, f runs without the lock.
   */
  async #withLock<T>(f: () => Promise<T>): Promise<T> {
    const run = async () => {
      await this.#queryTabs();
      return f();
    };
    if (!this.#locks) return run();
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), lockTimeout);
    let isLocked = false;
    const runLocked = () => {
      clearTimeout(timer);
      isLocked = true;
      return run();
    };
    return this.#locks.request(`${this.#name}:turn`, { signal: controller.signal }, runLocked).catch((error) => {
      clearTimeout(timer);
      if (isLocked) throw error;
      return run();
    });
  }

  /**
   * Asks the other tabs for their tokens, and waits for all replies, but at most replyTimeout. A frozen or closing tab
   * doesn't reply. Either it has broadcast its newest tokens already, or the server's REFRESH_GRACE repeats them.
   */
  async #queryTabs(onTimer?: (timer: Timer) => void): Promise<void> {
    if (!this.#channel) return;
    let missingReplies = Infinity; // without locks, their number is unknown
    if (this.#locks) {
      const { held = [] } = await this.#locks.query().catch(() => ({ held: [] })); // rejects in a sandboxed frame
      missingReplies = held.filter((lock) => lock.name === `${this.#name}:tab`).length - 1;
    }
    if (missingReplies <= 0) return;
    const id = randomID(); // several tabs may ask at once, and each receives all replies
    await new Promise<void>((resolve) => {
      const timer: Timer = setTimeout(resolve, replyTimeout);
      onTimer?.(timer);
      this.#onReply = (queryID) => {
        if (queryID !== id || --missingReplies > 0) return;
        clearTimeout(timer);
        resolve();
      };
      this.#broadcast({ type: "query", id });
    });
    this.#onReply = undefined;
  }

  #onMessage(message: Message): void {
    switch (message.type) {
      case "query":
        this.#broadcast({ type: "tokens", tokens: this.#tokens() ?? null, queryID: message.id });
        break;
      case "tokens":
        if (message.tokens) this.#adopt(message.tokens);
        if (message.queryID !== null) this.#onReply?.(message.queryID);
        break;
      case "ended":
        this.#forgetSession(message.sessionID, message.reason);
        break;
    }
  }

  /** Adopts the tokens of another tab if they are newer than this tab's. */
  #adopt(otherTokens: Tokens): void {
    if (this.#endedSessionIDs.has(otherTokens.sessionID)) return;
    const ownTokens = this.#tokens();
    const isNewer =
      !ownTokens ||
      (ownTokens.sessionID === otherTokens.sessionID
        ? otherTokens.version > ownTokens.version
        : otherTokens.signedInAt > ownTokens.signedInAt);
    if (isNewer) this.#setState({ status: "signedIn", tokens: otherTokens });
  }

  #endSession(sessionID: string, reason: SignedOutReason): void {
    this.#forgetSession(sessionID, reason);
    this.#broadcast({ type: "ended", sessionID, reason });
  }

  #forgetSession(sessionID: string, reason: SignedOutReason): void {
    this.#endedSessionIDs.add(sessionID);
    for (const oldest of this.#endedSessionIDs) {
      if (this.#endedSessionIDs.size <= maxEndedSessions) break;
      this.#endedSessionIDs.delete(oldest);
    }
    if (this.#tokens()?.sessionID === sessionID) this.#setState({ status: "signedOut", reason });
  }

  /** Returns the newest access token if `staleToken` belongs to the current session. */
  #newestToken(staleToken: string): string | undefined {
    return this.#accessTokens.includes(staleToken) ? this.#tokens()?.accessToken : undefined;
  }

  #tokens(): Tokens | undefined {
    return this.#state.status === "signedIn" ? this.#state.tokens : undefined;
  }

  #setState(state: SessionState): void {
    const previousSessionID = this.#tokens()?.sessionID;
    this.#state = state;
    const tokens = this.#tokens();
    const accessTokens = tokens?.sessionID === previousSessionID ? this.#accessTokens : [];
    this.#accessTokens = tokens ? [...accessTokens, tokens.accessToken].slice(-maxAccessTokens) : [];
    this.#scheduleRefresh(tokens && tokens.refreshAt - Date.now());
    for (const listener of [...this.#listeners]) listener();
  }

  /** Refreshes after a delay in milliseconds. Every tab schedules this, and the first one refreshes for all. */
  #scheduleRefresh(delay: number | undefined): void {
    clearTimeout(this.#refreshTimer);
    if (delay === undefined || this.#isClosed) return;
    const [minDelay, maxDelay] = [1_000, 2 ** 31 - 1]; // ms; a timer can't run for more than 24 days
    this.#refreshTimer = setTimeout(() => {
      const tokens = this.#tokens();
      if (!tokens) return;
      if (Date.now() < tokens.refreshAt) return this.#scheduleRefresh(tokens.refreshAt - Date.now());
      this.refresh(tokens.accessToken).catch(() => this.#tokens() && this.#scheduleRefresh(scheduledRetryDelay));
    }, Math.min(Math.max(delay, minDelay), maxDelay));
    this.#refreshTimer.unref?.();
  }

  #broadcast(message: Message): void {
    if (!this.#isClosed) this.#channel?.postMessage(message);
  }

  async #call<T>(field: keyof typeof documents, variables: Record<string, unknown>): Promise<T> {
    const send = this.#options.send ?? this.#fetch;
    const { data, errors } = await send(documents[field], variables);
    if (errors?.[0]) throw new ServerError(errors[0]);
    if (data?.[field] == null) throw new Error("The server's response isn't GraphQL");
    return data[field] as T;
  }

  readonly #fetch = async (query: string, variables: Record<string, unknown>): Promise<GraphQLResponse> => {
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

/** A timer of a browser or of Node.js, where it keeps the process alive until unref is called. */
type Timer = ReturnType<typeof setTimeout> & { ref?(): void; unref?(): void };

/** Opens the channel to other tabs; undefined in jsdom, React Native, and a page that may not use storage. */
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

/** Runs f for at most ms, then aborts its signal and throws. Safari before 16 and jsdom lack AbortSignal.timeout. */
export async function withTimeout<T>(ms: number, f: (signal: AbortSignal | null) => Promise<T>): Promise<T> {
  const controller = typeof AbortController === "undefined" ? undefined : new AbortController();
  let timer: Timer | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error("The server didn't answer in time"));
      controller?.abort();
    }, ms);
  });
  try {
    return await Promise.race([f(controller?.signal ?? null), timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** Returns milliseconds of a monotonic clock, if there is one. */
function monotonicNow(): number {
  return typeof performance === "undefined" ? Date.now() : performance.now();
}

function toTokens(response: TokenResponse, session: Pick<Tokens, "sessionID" | "version" | "signedInAt">, now: number): Tokens {
  const lifetime = response.expiresIn * 1000;
  return {
    sessionID: session.sessionID,
    version: session.version,
    signedInAt: session.signedInAt,
    accessToken: response.accessToken,
    expiresAt: now + lifetime,
    refreshAt: now + lifetime - (response.refreshToken === null ? 0 : Math.min(maxRefreshLead, lifetime / 4)),
    refreshToken: response.refreshToken,
    refreshExpiresAt: response.refreshExpiresIn === null ? null : now + response.refreshExpiresIn * 1000,
  };
}

/** Returns a unique ID. It needn't be secret, so Math.random is good enough if there is no crypto. */
function randomID(): string {
  const bytes = new Uint8Array(16);
  if (typeof crypto === "undefined" || !crypto.getRandomValues) bytes.forEach((_, i) => (bytes[i] = Math.random() * 256));
  else crypto.getRandomValues(bytes);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
