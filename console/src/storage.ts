// The console stores its theme, its open panel and the documents of open tabs in the browser. Variables, headers and
// responses contain passwords and tokens, so they stay in memory. So do documents that may contain one: those with
// literal values or comments, and those that can't be parsed.
import { parse, visit, BREAK } from "graphql";
import { examples, restoreExamples } from "./examples.ts";

const keyPrefix = "graphiql:"; // the prefix of each key in @graphiql/toolkit's StorageAPI
const storedKeys = new Set(["theme", "visiblePlugin", "tabState"]);
const maxValueLength = 200_000; // of a value, in characters

type Tab = { query: string | null; variables: string | null; headers: string | null; response: string | null };

/** Reports whether a document can't contain a secret: it is an example, or has only variables as values and no comments. */
export function isSafeToStore(document: string): boolean {
  if (examples.some(({ query }) => query === document)) return true;
  if (/[#"]/.test(document)) return false;
  try {
    let hasLiteral = false;
    const onLiteral = (): typeof BREAK => ((hasLiteral = true), BREAK);
    visit(parse(document), { StringValue: onLiteral, IntValue: onLiteral, FloatValue: onLiteral, EnumValue: onLiteral });
    return !hasLiteral;
  } catch {
    return false; // may contain something pasted into the wrong editor
  }
}

/** Returns the state of GraphiQL's tabs without the parts that must not be stored, or undefined if no tab is left. */
export function storableTabState(tabState: string): string | undefined {
  const state = JSON.parse(tabState) as { tabs: Tab[]; activeTabIndex: number };
  const activeTab = state.tabs[state.activeTabIndex];
  const tabs = state.tabs.filter((tab) => tab.query?.trim() && isSafeToStore(tab.query));
  if (!tabs.length) return undefined;
  return JSON.stringify({
    activeTabIndex: Math.max(0, tabs.findIndex((tab) => tab === activeTab)),
    tabs: tabs.map((tab) => ({ ...tab, hash: null, variables: null, headers: null, response: null })),
  });
}

/** The storage that GraphiQL uses. If the browser doesn't allow it, nothing is stored. */
export const storage = {
  getItem(key: string): string | null {
    const name = key.slice(keyPrefix.length);
    if (!storedKeys.has(name)) return null;
    try {
      const value = localStorage.getItem(key);
      return value && name === "tabState" ? restoreExamples(value) : value;
    } catch {
      return null; // not allowed, or malformed
    }
  },
  setItem(key: string, value: string): void {
    const name = key.slice(keyPrefix.length);
    if (!storedKeys.has(name)) return;
    try {
      const text = name === "tabState" ? storableTabState(value) : value;
      if (text === undefined || text.length > maxValueLength) localStorage.removeItem(key);
      else localStorage.setItem(key, text);
    } catch {
      // full, or not allowed
    }
  },
  removeItem(key: string): void {
    try {
      localStorage.removeItem(key);
    } catch {
      // not allowed
    }
  },
  clear(): void {
    for (const name of storedKeys) storage.removeItem(keyPrefix + name);
  },
  get length(): number {
    return storedKeys.size;
  },
};
