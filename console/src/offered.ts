// Whom the page offers to sign in as: made-up people, of a server on a developer's machine. Elsewhere it offers nobody.
export type Person = { username: string; password: string };

const meta = document.querySelector<HTMLMetaElement>('meta[name="users"]');

export const offered: Person[] = meta ? JSON.parse(meta.content) : [];
