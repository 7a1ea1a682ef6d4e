/** Tags lists names such as roles, groups or scopes. */
export function Tags({ names }: { names: readonly string[] }) {
  if (names.length === 0) return <span className="quiet">none</span>;
  return (
    <ul className="tags">
      {names.map((name) => (
        <li key={name}>{name}</li>
      ))}
    </ul>
  );
}
