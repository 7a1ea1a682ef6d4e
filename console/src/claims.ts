// Decodes a token for display. Only the server verifies it.

/** The claims in Keycloak's access tokens and their meanings (RFC 7519, 4.1; RFC 9068; OpenID Connect Core; Keycloak 26.7). */
const claimMeanings: Record<string, string> = {
  iss: "Issuer: the realm that issued the token",
  aud: "Audience: the APIs that the token is for",
  sub: "Subject: the user's ID, unique within the realm",
  exp: "Expires: not accepted after this time",
  iat: "Issued at",
  nbf: "Not valid before",
  auth_time: "When the user signed in, in a browser",
  jti: "The token's own ID",
  typ: "Type of token: an access token is Bearer",
  azp: "Authorized party: the client that the token was issued to",
  sid: "The session that the token belongs to",
  session_state: "The session that the token belongs to, in older tokens",
  acr: "How strong the sign-in was",
  amr: "How the user proved who they are",
  scope: "Granted scopes",
  "allowed-origins": "Web pages that may use the token: the client's web origins",
  realm_access: "Roles in the realm",
  resource_access: "Roles in single clients",
  groups: "Groups",
  preferred_username: "Username",
  email: "E-mail address",
  email_verified: "Whether the realm has verified the address",
  name: "Full name",
  given_name: "Given name",
  family_name: "Family name",
  locale: "Language",
  nonce: "A value that the client sent with this sign-in",
  cnf: "Confirmation: the key or the certificate that the token is bound to",
  client_id: "The client of a service account",
  clientHost: "The host of a service account's client",
  clientAddress: "The address of a service account's client",
};

const timeClaims = new Set(["exp", "iat", "nbf", "auth_time"]);

export type Claim = { name: string; value: string; meaning: string };

/** Returns the header and the payload of a compact JWS, or undefined if it isn't one. */
export function decodeToken(token: string): { header: Claim[]; payload: Claim[] } | undefined {
  const parts = token.split(".");
  if (parts.length !== 3) return undefined;
  try {
    const [header, payload] = parts.slice(0, 2).map(decodePart);
    return {
      header: toClaims(header, { alg: "Signature algorithm", kid: "ID of the key that signed it", typ: "Type" }),
      payload: toClaims(payload, claimMeanings),
    };
  } catch {
    return undefined;
  }
}

function decodePart(part: string): Record<string, unknown> {
  const text = atob(part.replaceAll("-", "+").replaceAll("_", "/"));
  const decoded: unknown = JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (character) => character.charCodeAt(0))));
  if (!decoded || typeof decoded !== "object" || Array.isArray(decoded)) throw new TypeError("not an object");
  return decoded as Record<string, unknown>;
}

function toClaims(object: Record<string, unknown> | undefined, meaningsByName: Record<string, string>): Claim[] {
  return Object.entries(object ?? {}).map(([name, value]) => ({ name, value: formatValue(name, value), meaning: Object.hasOwn(meaningsByName, name) ? (meaningsByName[name] ?? "") : "" }));
}

function formatValue(name: string, value: unknown): string {
  if (timeClaims.has(name) && typeof value === "number" && Math.abs(value) < 8.64e12) {
    return `${new Date(value * 1000).toLocaleString()} (${value})`;
  }
  return typeof value === "string" ? value : JSON.stringify(value, null, 1).replaceAll(/\s*\n\s*/g, " ");
}
