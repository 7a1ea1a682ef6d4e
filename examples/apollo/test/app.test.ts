import { CombinedGraphQLErrors, gql } from "@apollo/client";
import { ServerError } from "@cloakql/client";
import assert from "node:assert/strict";
import test from "node:test";
import { errorInfo, errorText } from "../src/errors";

test("the application's client works while a server renders a page", async () => {
  const { currentClient, session } = await import("../src/client");
  assert.equal(await session.accessToken(), undefined);
  await assert.rejects(currentClient().query({ query: gql`{ me { id } }`, context: { uri: "http://127.0.0.1:1/graphql" } }), /fetch failed|bad port/);
  session.close();
});

test("an error with a product's own code is shown with its message", () => {
  const closed = { message: "The shop is closed until 9:00", extensions: { code: "SHOP_CLOSED", reason: "NIGHT" } };
  const errors = [new ServerError(closed), new CombinedGraphQLErrors({ data: null, errors: [closed] })];
  for (const error of errors) assert.equal(errorText(errorInfo(error)), "The shop is closed until 9:00 (SHOP_CLOSED)");
});

test("a denied field doesn't say that the user has to sign in", () => {
  const error = new ServerError({ message: "No", extensions: { code: "FORBIDDEN", reason: "ROLE_MISSING" } });
  assert.equal(errorText(errorInfo(error)), "You don’t have access to this.");
});

test("a field that requires another sign-in says which", () => {
  const extensions = { code: "UNAUTHENTICATED", reason: "STEP_UP_REQUIRED", acrValues: ["gold", "silver"], maxAge: 300 };
  const info = errorInfo(new CombinedGraphQLErrors({ data: null, errors: [{ message: "No", extensions }] }));
  assert.deepEqual(info.stepUp, { acr_values: "gold silver", max_age: 300 });
  assert.equal(errorText(info), "Sign in at Keycloak again to confirm that it’s you.");
});

test("an internal error's message isn't shown", () => {
  const error = new ServerError({ message: "Internal server error", extensions: { code: "INTERNAL_SERVER_ERROR" } });
  assert.equal(errorText(errorInfo(error)), "Something went wrong. Try again later.");
});

test("an error without a code says that the server can't be reached", () => {
  assert.equal(errorText(errorInfo(new TypeError("Failed to fetch"))), "The server can’t be reached. Try again in a moment.");
});
