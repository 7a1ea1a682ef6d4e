// Explains the errors of the current response.
import type { ResponseError } from "@cloakql/client";
import { useGraphiQL } from "@graphiql/react";
import { explain, type Explanation } from "./explain.ts";

const maxExplanations = 5;

/** Explains the errors in the active tab's response. */
export function ResponseExplanations() {
  const response = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.response ?? null);
  // Ten fields denied for the same reason share an explanation.
  const unique = new Map<string, Explanation>();
  for (const error of errorsOf(response)) {
    const explanation = explain(error);
    const key = `${explanation.code} ${explanation.meaning} ${explanation.required}`;
    if (!unique.has(key)) unique.set(key, explanation);
    if (unique.size === maxExplanations) break;
  }
  return (
    <section aria-label="What the errors mean" className="explanations" aria-live="polite">
      {[...unique].map(([key, explanation]) => (
        <ExplanationText key={key} {...explanation} />
      ))}
    </section>
  );
}

export function ExplanationText({ code, meaning, advice, detail, required, retryAfter }: Explanation) {
  return (
    <div className="explanation">
      <p>
        {code && <code>{code}</code>} {meaning}
      </p>
      {detail && <p className="detail">The server says: {detail}</p>}
      {required && <p className="detail">The rule requires: {required}</p>}
      {(advice || retryAfter !== undefined) && (
        <p>
          {retryAfter !== undefined && `Possible again in ${retryAfter} s. `}
          {advice}
        </p>
      )}
    </div>
  );
}

function errorsOf(response: string | null): ResponseError[] {
  try {
    const { errors } = JSON.parse(response ?? "") as { errors?: unknown };
    return Array.isArray(errors) ? errors.filter((error): error is ResponseError => typeof error?.message === "string") : [];
  } catch {
    return []; // empty, or not a response
  }
}
