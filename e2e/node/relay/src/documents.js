// The documents that relay-compiler compiles to ../artifacts. After a change, run in e2e/node/relay:
//
//   cat ../../../schema/*.graphqls > schema.graphql
//   npx relay-compiler@21.0.1 relay.config.json
import { graphql } from 'relay-runtime';

export const me = graphql`
  query documentsMeQuery {
    me {
      id
      username
    }
  }
`;

export const login = graphql`
  mutation documentsLoginMutation($username: String!, $password: String!) {
    login(username: $username, password: $password) {
      tokenType
      accessToken
      refreshToken
    }
  }
`;

export const refresh = graphql`
  mutation documentsRefreshMutation($token: String!) {
    refresh(refreshToken: $token) {
      tokenType
      accessToken
      refreshToken
    }
  }
`;

export const logout = graphql`
  mutation documentsLogoutMutation($token: String!) {
    logout(refreshToken: $token)
  }
`;
