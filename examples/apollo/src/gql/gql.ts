/* eslint-disable */
import * as types from './graphql';
import type { TypedDocumentNode as DocumentNode } from '@graphql-typed-document-node/core';

/**
 * Map of all GraphQL operations in the project.
 *
 * This map has several performance disadvantages:
 * 1. It is not tree-shakeable, so it will include all operations in the project.
 * 2. It is not minifiable, so the string of a GraphQL query will be multiple times inside the bundle.
 * 3. It does not support dead code elimination, so it will add unused operations.
 *
 * Therefore it is highly recommended to use the babel or swc plugin for production.
 * Learn more about it here: https://the-guild.dev/graphql/codegen/plugins/presets/preset-client#reducing-bundle-size
 */
type Documents = {
    "\n  query Account {\n    me {\n      id\n      clientRoles {\n        client\n        roles\n      }\n      token {\n        scope\n        expiresAt\n        session {\n          id\n        }\n        claims\n      }\n    }\n  }\n": typeof types.AccountDocument,
    "\n  query Anonymous {\n    me {\n      id\n    }\n  }\n": typeof types.AnonymousDocument,
    "\n  query Me {\n    me {\n      id\n      username\n      name\n      email\n      emailVerified\n      realmRoles\n      groups\n      token {\n        expiresAt\n      }\n    }\n  }\n": typeof types.MeDocument,
    "\n  query Who {\n    me {\n      id\n      username\n    }\n  }\n": typeof types.WhoDocument,
};
const documents: Documents = {
    "\n  query Account {\n    me {\n      id\n      clientRoles {\n        client\n        roles\n      }\n      token {\n        scope\n        expiresAt\n        session {\n          id\n        }\n        claims\n      }\n    }\n  }\n": types.AccountDocument,
    "\n  query Anonymous {\n    me {\n      id\n    }\n  }\n": types.AnonymousDocument,
    "\n  query Me {\n    me {\n      id\n      username\n      name\n      email\n      emailVerified\n      realmRoles\n      groups\n      token {\n        expiresAt\n      }\n    }\n  }\n": types.MeDocument,
    "\n  query Who {\n    me {\n      id\n      username\n    }\n  }\n": types.WhoDocument,
};

/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 *
 *
 * @example
 * ```ts
 * const query = graphql(`query GetUser($id: ID!) { user(id: $id) { name } }`);
 * ```
 *
 * The query argument is unknown!
 * Please regenerate the types.
 */
export function graphql(source: string): unknown;

/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query Account {\n    me {\n      id\n      clientRoles {\n        client\n        roles\n      }\n      token {\n        scope\n        expiresAt\n        session {\n          id\n        }\n        claims\n      }\n    }\n  }\n"): (typeof documents)["\n  query Account {\n    me {\n      id\n      clientRoles {\n        client\n        roles\n      }\n      token {\n        scope\n        expiresAt\n        session {\n          id\n        }\n        claims\n      }\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query Anonymous {\n    me {\n      id\n    }\n  }\n"): (typeof documents)["\n  query Anonymous {\n    me {\n      id\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query Me {\n    me {\n      id\n      username\n      name\n      email\n      emailVerified\n      realmRoles\n      groups\n      token {\n        expiresAt\n      }\n    }\n  }\n"): (typeof documents)["\n  query Me {\n    me {\n      id\n      username\n      name\n      email\n      emailVerified\n      realmRoles\n      groups\n      token {\n        expiresAt\n      }\n    }\n  }\n"];
/**
 * The graphql function is used to parse GraphQL queries into a document that can be used by GraphQL clients.
 */
export function graphql(source: "\n  query Who {\n    me {\n      id\n      username\n    }\n  }\n"): (typeof documents)["\n  query Who {\n    me {\n      id\n      username\n    }\n  }\n"];

export function graphql(source: string) {
  return (documents as any)[source] ?? {};
}

export type DocumentType<TDocumentNode extends DocumentNode<any, any>> = TDocumentNode extends DocumentNode<  infer TType,  any>  ? TType  : never;