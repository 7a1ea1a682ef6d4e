// node sources.mjs writes the digests of the sources that src/gql was generated from. TestGenerated_upToDate compares them
// and finds stale code.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";

const root = new URL("../../", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8").replaceAll("\r\n", "\n");
const matchingFiles = (folder, pattern) => readdirSync(new URL(folder, root)).filter((name) => pattern.test(name)).map((name) => folder + name);

const inputs = [...matchingFiles("schema/", /\.graphqls$/), "examples/apollo/codegen.ts"].map((path) => [path, read(path)]);
for (const path of matchingFiles("examples/apollo/src/", /\.tsx?$/)) {
  const documents = Array.from(read(path).matchAll(/\bgraphql\(`([^`]*)`/g), ([, document]) => document);
  if (documents.length > 0) inputs.push([path, documents.join("")]); // the rest of the file doesn't affect the types
}
const sums = inputs.map(([path, content]) => `${createHash("sha256").update(content).digest("hex")}  ${path}\n`);
writeFileSync(new URL("examples/apollo/src/gql/sources.sum", root), sums.join(""));
