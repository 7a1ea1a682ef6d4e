// The session's token, claim by claim, and the server's verdict on it.
import type { Tokens } from "@cloakql/client";
import type { GraphiQLPlugin } from "@graphiql/react";
import { decodeToken, type Claim } from "./claims.ts";
import { ExplanationText } from "./explanation.tsx";
import { explain } from "./explain.ts";
import { useSession, useVerdict } from "./session.ts";

export const TOKEN_PLUGIN: GraphiQLPlugin = { title: "Token", icon: TokenIcon, content: TokenPanel };

function TokenPanel() {
  const state = useSession();
  const tokens = state.status === "signedIn" ? state.tokens : undefined;
  return (
    <section aria-label="Token" className="token-panel">
      <h2>Your token</h2>
      {tokens ? <Token tokens={tokens} /> : <p>Nobody is signed in, so there is no token to show.</p>}
    </section>
  );
}

function Token({ tokens }: { tokens: Tokens }) {
  const verdict = useVerdict();
  const parts = decodeToken(tokens.accessToken);
  return (
    <>
      <div role="status" className={`verdict ${verdict.status}`} data-testid="verdict">
        {verdict.status === "asking" && <p>Asking the server whether it accepts this token …</p>}
        {verdict.status === "accepted" && (
          <p>
            <strong>The server accepts it</strong> as {verdict.username}'s token.
          </p>
        )}
        {verdict.status === "unknown" && (
          <>
            <p>The server can't verify it right now. The console keeps asking.</p>
            <ExplanationText {...explain(verdict.error)} />
          </>
        )}
        {verdict.status === "refused" && (
          <>
            <p>
              <strong>The server refuses it.</strong>
            </p>
            <ExplanationText {...explain(verdict.error)} />
          </>
        )}
      </div>
      {parts ? (
        <>
          <p className="muted">Decoded for display. Only the server verifies it.</p>
          <Claims title="Claims" claims={parts.payload} />
          <Claims title="Header" claims={parts.header} />
        </>
      ) : (
        <p>It isn't a JSON Web Token, so it can't be decoded.</p>
      )}
    </>
  );
}

function Claims({ title, claims }: { title: string; claims: Claim[] }) {
  return (
    <>
      <h3>{title}</h3>
      <dl>
        {claims.map(({ name, value, meaning }) => (
          <div key={name}>
            <dt>
              <code>{name}</code> {meaning}
            </dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

function TokenIcon() {
  return (
    <svg viewBox="0 0 20 20" aria-hidden="true" fill="none" stroke="currentColor" strokeWidth="1.5" strokeLinecap="round">
      <circle cx="7" cy="10" r="3.5" />
      <path d="M10.500 10H18M15.500 10v3M13 10v2" />
    </svg>
  );
}
