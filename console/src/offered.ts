// The test users that the page suggests to sign in as. Only a server on a developer's machine has any.
export type Person = { username: string; password: string };

const meta = document.querySelector<HTMLMetaElement>('meta[name="users"]');

export const offered: Person[] = meta ? JSON.parse(meta.content) : [];
