import { errorInfo, errorText } from "./errors";

/** Problem shows an error's text, and below it the server's code, reason and message, and the sign-in that it requires. */
export function Problem({ error }: { error: unknown }) {
  const info = errorInfo(error);
  const { code, reason, message, stepUp } = info;
  return (
    <div className="problem" role="alert">
      <p>{errorText(info)}</p>
      {code !== undefined && (
        <dl className="terms">
          <Term name="Code" value={code} />
          {reason !== undefined && <Term name="Reason" value={reason} />}
          <Term name="Message" value={message} />
          {stepUp !== undefined && (
            <Term name="Sign in with" value={Object.entries(stepUp).map((entry) => entry.join("=")).join(", ")} />
          )}
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
