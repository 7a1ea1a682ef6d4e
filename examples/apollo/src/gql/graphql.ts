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
  /** A moment, as RFC 3339 writes it: `2026-01-02T15:04:05Z`. */
  Time: { input: string; output: string; }
};

/** The roles that a user has in one client. */
export type ClientRoles = {
  __typename?: 'ClientRoles';
  /** The client id. */
  client: Scalars['String']['output'];
  /** The names of the roles. */
  roles: Array<Scalars['String']['output']>;
};

/** What changes a session: signing in, staying signed in, signing out. */
export type Mutation = {
  __typename?: 'Mutation';
  /**
   * Signs a person in with a password and gives tokens. A wrong password, an unknown user and a locked
   * account are one and the same error, INVALID_CREDENTIALS: nobody can find out here which names exist.
   */
  login: OpenIdToken;
  /**
   * Ends the session of a refresh token, in every client that shares it. True also when it had ended
   * before. An access token stays valid until it expires: it is checked without asking the realm. Forget it too.
   */
  logout: Scalars['Boolean']['output'];
  /**
   * Trades a refresh token for new tokens. Keep the new refresh token and forget the old one: the realm
   * may accept each just once. Two tabs may present the same token at the same time: both get the same answer.
   * INVALID_REFRESH_TOKEN means that the person has to sign in again.
   */
  refresh: OpenIdToken;
};


/** What changes a session: signing in, staying signed in, signing out. */
export type MutationLoginArgs = {
  otp?: InputMaybe<Scalars['String']['input']>;
  password: Scalars['String']['input'];
  username: Scalars['String']['input'];
};


/** What changes a session: signing in, staying signed in, signing out. */
export type MutationLogoutArgs = {
  refreshToken: Scalars['String']['input'];
};


/** What changes a session: signing in, staying signed in, signing out. */
export type MutationRefreshArgs = {
  refreshToken: Scalars['String']['input'];
};

/** What a sign-in gives: OpenID Connect's token response. */
export type OpenIdToken = {
  __typename?: 'OpenIdToken';
  /** Send this with each request: `Authorization: Bearer <accessToken>`. It is opaque to clients. */
  accessToken: Scalars['String']['output'];
  /** How long the access token is valid from now, in seconds. */
  expiresIn: Scalars['Int']['output'];
  /** The ID token: who signed in, for the client to read. It is not accepted as an access token. */
  idToken?: Maybe<Scalars['String']['output']>;
  /** How long the refresh token is valid from now, in seconds. Null without one, or with one that has no end. */
  refreshExpiresIn?: Maybe<Scalars['Int']['output']>;
  /** Give this to `refresh` when the access token has expired, or to `logout`. Null where the realm gives none. */
  refreshToken?: Maybe<Scalars['String']['output']>;
  /** The scopes that were granted. */
  scope: Array<Scalars['String']['output']>;
  /** How to present the access token: always `Bearer`, whose case may vary. */
  tokenType: Scalars['String']['output'];
};

/** What can be asked. */
export type Query = {
  __typename?: 'Query';
  /** The caller: what the access token of this request says of its user. */
  me?: Maybe<User>;
};

/** One sign-in, shared by every client that the user reached with it. */
export type Session = {
  __typename?: 'Session';
  /** When the person signed in. Known for sign-ins through a browser alone. */
  authenticatedAt?: Maybe<Scalars['Time']['output']>;
  /** The session's id. It is opaque. */
  id: Scalars['ID']['output'];
};

/** An access token that was verified. */
export type TokenInfo = {
  __typename?: 'TokenInfo';
  /** How strong the sign-in was: OpenID Connect's authentication context class reference. */
  acr?: Maybe<Scalars['String']['output']>;
  /** The whole payload of the token. */
  claims: Scalars['Claims']['output'];
  /** When the token stops being valid. */
  expiresAt: Scalars['Time']['output'];
  /** The scopes that were granted. */
  scope: Array<Scalars['String']['output']>;
  /** The session that the token belongs to. Null for a service account, which has none. */
  session?: Maybe<Session>;
};

/** A person, or a service account, as an access token describes it. A field is null where the token doesn't say. */
export type User = {
  __typename?: 'User';
  /** The roles in single clients, ordered by client. */
  clientRoles: Array<ClientRoles>;
  /** The e-mail address. */
  email?: Maybe<Scalars['String']['output']>;
  /** Whether the realm has checked that the address is the user's. */
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
  /** The roles in the realm. */
  realmRoles: Array<Scalars['String']['output']>;
  /** The token that this request came with. Null for anyone but the caller. */
  token?: Maybe<TokenInfo>;
  /** The name to sign in with. */
  username?: Maybe<Scalars['String']['output']>;
};

export type AccountQueryVariables = Exact<{ [key: string]: never; }>;


export type AccountQuery = { __typename?: 'Query', me?: { __typename?: 'User', id: string, clientRoles: Array<{ __typename?: 'ClientRoles', client: string, roles: Array<string> }>, token?: { __typename?: 'TokenInfo', scope: Array<string>, expiresAt: string, claims: Record<string, unknown>, session?: { __typename?: 'Session', id: string } | null } | null } | null };

export type StrangerQueryVariables = Exact<{ [key: string]: never; }>;


export type StrangerQuery = { __typename?: 'Query', me?: { __typename?: 'User', id: string } | null };

export type MeQueryVariables = Exact<{ [key: string]: never; }>;


export type MeQuery = { __typename?: 'Query', me?: { __typename?: 'User', id: string, username?: string | null, name?: string | null, email?: string | null, emailVerified?: boolean | null, realmRoles: Array<string>, groups: Array<string>, token?: { __typename?: 'TokenInfo', expiresAt: string } | null } | null };

export type WhoQueryVariables = Exact<{ [key: string]: never; }>;


export type WhoQuery = { __typename?: 'Query', me?: { __typename?: 'User', id: string, username?: string | null } | null };


export const AccountDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Account"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"me"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"clientRoles"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"client"}},{"kind":"Field","name":{"kind":"Name","value":"roles"}}]}},{"kind":"Field","name":{"kind":"Name","value":"token"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"scope"}},{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}},{"kind":"Field","name":{"kind":"Name","value":"session"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}}]}},{"kind":"Field","name":{"kind":"Name","value":"claims"}}]}}]}}]}}]} as unknown as DocumentNode<AccountQuery, AccountQueryVariables>;
export const StrangerDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Stranger"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"me"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}}]}}]}}]} as unknown as DocumentNode<StrangerQuery, StrangerQueryVariables>;
export const MeDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Me"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"me"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"username"}},{"kind":"Field","name":{"kind":"Name","value":"name"}},{"kind":"Field","name":{"kind":"Name","value":"email"}},{"kind":"Field","name":{"kind":"Name","value":"emailVerified"}},{"kind":"Field","name":{"kind":"Name","value":"realmRoles"}},{"kind":"Field","name":{"kind":"Name","value":"groups"}},{"kind":"Field","name":{"kind":"Name","value":"token"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"expiresAt"}}]}}]}}]}}]} as unknown as DocumentNode<MeQuery, MeQueryVariables>;
export const WhoDocument = {"kind":"Document","definitions":[{"kind":"OperationDefinition","operation":"query","name":{"kind":"Name","value":"Who"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"me"},"selectionSet":{"kind":"SelectionSet","selections":[{"kind":"Field","name":{"kind":"Name","value":"id"}},{"kind":"Field","name":{"kind":"Name","value":"username"}}]}}]}}]} as unknown as DocumentNode<WhoQuery, WhoQueryVariables>;