// What the console keeps in this browser: how it looks, and the documents of open tabs. Variables, headers and answers
// hold passwords and tokens, so they stay in memory. So does a document in which one may be: that has a value which is no
// variable, or a comment, or that isn't GraphQL yet.
import { parse, visit, BREAK } from "graphql";
import { examples, restored } from "./examples.ts";

const prefix = "graphiql:"; // @graphiql/toolkit's StorageAPI puts it before each key
const kept = new Set(["theme", "visiblePlugin", "tabState"]);
const most = 200_000; // characters of one value

type Tab = { query: string | null; variables: string | null; headers: string | null; response: string | null };

/** Whether a document can hold no secret: it is one of the examples, or its values are variables and nothing comments it. */
export function harmless(document: string): boolean {
  if (examples.some(({ query }) => query === document)) return true;
  if (/[#"]/.test(document)) return false;
  try {
    let found = false;
    const value = (): typeof BREAK => ((found = true), BREAK);
    visit(parse(document), { StringValue: value, IntValue: value, FloatValue: value, EnumValue: value });
    return !found;
  } catch {
    return false; // a part of it may be what was pasted into the wrong editor
  }
}

/** Takes out of the state of GraphiQL's tabs what must not be stored, and gives nothing where nothing is left. */
export function storable(tabState: string): string | undefined {
  const state = JSON.parse(tabState) as { tabs: Tab[]; activeTabIndex: number };
  const active = state.tabs[state.activeTabIndex];
  const tabs = state.tabs.filter((tab) => tab.query?.trim() && harmless(tab.query));
  if (!tabs.length) return undefined;
  return JSON.stringify({
    activeTabIndex: Math.max(0, tabs.findIndex((tab) => tab === active)),
    tabs: tabs.map((tab) => ({ ...tab, hash: null, variables: null, headers: null, response: null })),
  });
}

/** The storage that GraphiQL uses. A browser that refuses to store has the same console, which forgets. */
export const storage = {
  getItem(key: string): string | null {
    const name = key.slice(prefix.length);
    if (!kept.has(name)) return null;
    try {
      const value = localStorage.getItem(key);
      return value && name === "tabState" ? restored(value) : value;
    } catch {
      return null; // forbidden, or not what was put there
    }
  },
  setItem(key: string, value: string): void {
    const name = key.slice(prefix.length);
    if (!kept.has(name)) return;
    try {
      const text = name === "tabState" ? storable(value) : value;
      if (text === undefined || text.length > most) localStorage.removeItem(key);
      else localStorage.setItem(key, text);
    } catch {
      // full, or forbidden
    }
  },
  removeItem(key: string): void {
    try {
      localStorage.removeItem(key);
    } catch {
      // forbidden
    }
  },
  clear(): void {
    for (const name of kept) storage.removeItem(prefix + name);
  },
  get length(): number {
    return kept.size;
  },
};
