/* eslint-disable */
import type { TypedDocumentNode as DocumentNode } from '@graphql-typed-document-node/core';
export type Maybe<T> = T | null;
export type InputMaybe<T> = T | null | undefined;
export type Exact<T extends { [key: string]: unknown }> = { [K in keyof T]: T[K] };
export type MakeOptional<T, K extends keyof T> = Omit<T, K> & { [SubKey in K]?: Maybe<T[SubKey]> };
export type MakeMaybe<T, K extends keyof T> = Omit<T, K> & { [SubKey in K]: Maybe<T[SubKey]> };
export type MakeEmpty<T extends { [key: string]: unknown }, K extends keyof T> = { [_ in K]?: never };
export type Incremental<T> = T | { [P in keyof T]?: P extends ' $fragmentName' | '__typename' ? T[P] : never };
/** All built-in and custom scalars, mapped to their actual values */
export type Scalars = {
  ID: { input: string; output: string; }
  String: { input: string; output: string; }
  Boolean: { input: boolean; output: boolean; }
  Int: { input: number; output: number; }
  Float: { input: number; output: number; }
  /** The claims of a token: a JSON object, exactly as it was signed. */
  Claims: { input: Record<string, unknown>; output: Record<string, unknown>; }
  /** A point in time, in the format of RFC 3339: `2026-01-02T15:04:05Z`. */
  Time: { input: string; output: string; }
};

/** The roles that a user has in one client. */
export type ClientRoles = {
  __typename?: 'ClientRoles';
  /** The client ID. */
  client: Scalars['String']['output'];
  /** The names of the roles. */
  roles: Array<Scalars['String']['output']>;
};

/** Changes to a session: sign in, refresh tokens, sign out. */
export type Mutation = {
  __typename?: 'Mutation';
  /**
   * Signs a user in with a password and returns tokens. A wrong password, an unknown user and a locked
   * account all fail with the same code, INVALID_CREDENTIALS.
   */
  login: OpenIdToken;
  /**
   * Ends the session of a refresh token, in every client that shares it. Returns true even if the session
   * had already ended. This server then refuses the session's access tokens. Discard them: other servers
   * may accept them until they expire.
   */
  logout: Scalars['Boolean']['output'];
  /**
   * Exchanges a refresh token for new tokens. Store the new refresh token and discard the old one: the
   * realm may accept each token only once. If two tabs send the same token at the same time, both get the same
   * response. INVALID_REFRESH_TOKEN means that the user has to sign in again.
   */
  refresh: OpenIdToken;
};


/** Changes to a session: sign in, refresh tokens, sign out. */
export type MutationLoginArgs = {
  otp?: InputMaybe<Scalars['String']['input']>;
  password: Scalars['String']['input'];
  username: Scalars['String']['input'];
};


/** Changes to a session: sign in, refresh tokens, sign out. */
export type MutationLogoutArgs = {
  refreshToken: Scalars['String']['input'];
};


/** Changes to a session: sign in, refresh tokens, sign out. */
export type MutationRefreshArgs = {
  refreshToken: Scalars['String']['input'];
};

/** The tokens of a sign-in: OpenID Connect's token response. */
export type OpenIdToken = {
  __typename?: 'OpenIdToken';
  /** Send this with each request: `Authorization: Bearer <accessToken>`. Treat it as opaque. */
  accessToken: Scalars['String']['output'];
  /** Seconds until the access token expires. */
  expiresIn: Scalars['Int']['output'];
  /** The ID token, which tells the client who signed in. It is not accepted as an access token. */
  idToken?: Maybe<Scalars['String']['output']>;
  /** Seconds until the refresh token expires. Null if there is no refresh token, or if it doesn't expire. */
  refreshExpiresIn?: Maybe<Scalars['Int']['output']>;
  /** Pass this to `refresh` when the access token has expired, or to `logout`. Null if the realm issues none. */
  refreshToken?: Maybe<Scalars['String']['output']>;
  /** The granted scopes. */
  scope: Array<Scalars['String']['output']>;
  /** How to present the access token: always `Bearer`; compare it case-insensitively. */
  tokenType: Scalars['String']['output'];
};

/** An organization that a user is a member of. */
export type Organization = {
  __typename?: 'Organization';
  /** The alias: unique within the realm. */
  alias: Scalars['String']['output'];
  /** The user's groups within the organization, as paths. Empty if the realm leaves them out of tokens. */
  groups: Array<Scalars['String']['output']>;
  /** The ID. Null if the realm leaves it out of tokens. */
  id?: Maybe<Scalars['ID']['output']>;
};

/** The root of all queries. */
export type Query = {
  __typename?: 'Query';
  /** The caller: the user of this request's access token. */
  me?: Maybe<User>;
};

/** One sign-in of a user, shared by all clients that the user signed in to with it. */
export type Session = {
  __typename?: 'Session';
  /** When the user signed in. Known only for sign-ins through a browser. */
  authenticatedAt?: Maybe<Scalars['Time']['output']>;
  /** The session ID. Treat it as opaque. */
  id: Scalars['ID']['output'];
};

/** A verified access token. */
export type TokenInfo = {
  __typename?: 'TokenInfo';
  /** How strong the sign-in was: OpenID Connect's authentication context class reference. */
  acr?: Maybe<Scalars['String']['output']>;
  /** The whole payload of the token. */
  claims: Scalars['Claims']['output'];
  /** When the token expires. */
  expiresAt: Scalars['Time']['output'];
  /** Whether somebody else acts as the user: the token has the claim `act`. */
  impersonated: Scalars['Boolean']['output'];
  /** The granted scopes. */
  scope: Array<Scalars['String']['output']>;
  /** The session that the token belongs to. Null for a service account, which has none. */
  session?: Maybe<Session>;
};

/** A person or a service account, as an access token describes it. A field that the token lacks is null; lists are empty. */
export type User = {
  __typename?: 'User';
  /** The client roles of the user, ordered by client. */
  clientRoles: Array<ClientRoles>;
  /** The email address. */
  email?: Maybe<Scalars['String']['output']>;
  /** Whether the realm has verified the user's email address. */
  emailVerified?: Maybe<Scalars['Boolean']['output']>;
  /** The family name or names. */
  familyName?: Maybe<Scalars['String']['output']>;
  /** The given name or names. */
  givenName?: Maybe<Scalars['String']['output']>;
  /** The groups, as the realm's group mapper writes them. */
  groups: Array<Scalars['String']['output']>;
  /** The subject: stable, and unique within the realm. */
  id: Scalars['ID']['output'];
  /** The full name, for display. */
  name?: Maybe<Scalars['String']['output']>;
  /** Those of the user's organizations that the sign-in's scopes asked for, ordered by alias. */
  organizations: Array<Organization>;
  /** The realm roles of the user. */
  realmRoles: Array<Scalars['String']['output']>;
  /** The access token of this request. Null for every user except the caller. */
  token?: Maybe<TokenInfo>;
  /** The name to sign in with. */
  username?: Maybe<Scalars['String']['output']>;
};

export type AccountQueryVariables = Exact<{ [key: string]: never; }>;


export type AccountQuery = { __typename?: 'Query', me?: { __typename?: 'User', id: string, clientRoles: Array<{ __typename?: 'ClientRoles', client: string, roles: Array<string> }>, token?: { __typename?: 'TokenInfo', scope: Array<string>, expiresAt: string, claims: Record<string, unknown>, session?: { __typename?: 'Session', id: string } | null } | null } | null };

export type AnonymousQueryVariables = Exact<{ [key: string]: never; }>;


export type AnonymousQuery = { __typename?: 'Query', me?: { __typename?: 'User', id: string } | null };

export type MeQueryVariables = Exact<{ [key: string]: never; }>;


export type MeQuery = { __typename?: 'Query', me?: { __typename?: 'User', id: string, username?: string | null, name?: string | null, email?: string | null, emailVerified?: boolean | null, realmRoles: Array<string>, groups: Array<string>, token?: { __typename?: 'TokenInfo', expiresAt: string } | null } | null };

export type WhoQueryVariables = Exact<{ [key: string]: never; }>;


export type WhoQuery = { __typename?: 'Query', me?: { __typename?: 'User', id: string, username?: string | null } | null };


export const AccountDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Account"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"me"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"clientRoles"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"client"}},{"kind":"Field","name":{"kind":"Name","value":"roles"}}]}},{"kind":"Field","name":{"kind":"Name","value":"token"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"scope"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"session"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}}]}},{"kind":"Field","name":{"kind":"Name","value":"claims"}}]}}]}}]}}]} as unknown as DocumentNode<AccountQuery, AccountQueryVariables>;
export const AnonymousDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Anonymous"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"me"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}}]}}]}}]} as unknown as DocumentNode<AnonymousQuery, AnonymousQueryVariables>;
export const MeDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Me"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"me"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"username"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"email"}},{"kind":"Field","name":{"kind":"Name","value":"emailVerified"}},{"kind":"Field","name":{"kind":"Name","value":"realmRoles"}},{"kind":"Field","name":{"kind":"Name","value":"groups"}},{"kind":"Field","name":{"kind":"Name","value":"token"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}}]}}]}}]}}]} as unknown as DocumentNode<MeQuery, MeQueryVariables>;
export const WhoDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Who"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"me"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"username"}}]}}]}}]} as unknown as DocumentNode<WhoQuery, WhoQueryVariables>;