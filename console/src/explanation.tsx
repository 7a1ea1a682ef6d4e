// What the errors of the shown answer mean.
import { useGraphiQL } from "@graphiql/react";
import type { GraphQLFault } from "../../examples/apollo/src/session.ts";
import { explain, type Explanation } from "./explain.ts";

const most = 5; // errors explained

/** The explanation of the answer in the active tab, where it has errors. */
export function AnswerExplanation() {
  const response = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.response ?? null);
  const faults = faultsOf(response);
  // One for each code: ten fields that were denied for one reason are one explanation.
  const seen = new Map(faults.toReversed().map((fault) => [explain(fault).code, fault]));
  return (
    <section aria-label="What the errors mean" className="explanations" aria-live="polite">
      {[...seen.values()].reverse().slice(0, most).map((fault) => {
        const explanation = explain(fault);
        return <ExplanationText key={explanation.code} {...explanation} />;
      })}
    </section>
  );
}

export function ExplanationText({ code, what, next, detail, retryAfter }: Explanation) {
  return (
    <div className="explanation">
      <p>
        <code>{code}</code> {what}
      </p>
      {detail && <p className="detail">The server says: {detail}</p>}
      <p>
        {retryAfter !== undefined && `In ${retryAfter} s, not sooner. `}
        {next}
      </p>
    </div>
  );
}

function faultsOf(response: string | null): GraphQLFault[] {
  try {
    const { errors } = JSON.parse(response ?? "") as { errors?: unknown };
    return Array.isArray(errors) ? errors.filter((error): error is GraphQLFault => typeof error?.message === "string") : [];
  } catch {
    return []; // still empty, or not an answer
  }
}
