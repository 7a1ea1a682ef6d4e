import { faultOf, inWords } from "./faults";

/** An error in words, with the server's own terms below. */
export function Problem({ error }: { error: unknown }) {
  const fault = faultOf(error);
  const { code, reason, message } = fault;
  return (
    <div className="problem" role="alert">
      <p>{inWords(fault)}</p>
      {code !== undefined && (
        <dl className="terms">
          <Term name="Code" value={code} />
          {reason !== undefined && <Term name="Reason" value={reason} />}
          <Term name="Message" value={message} />
        </dl>
      )}
    </div>
  );
}

function Term({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
