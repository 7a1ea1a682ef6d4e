// The test users that the sign-in form suggests. Only a server on a developer's machine has any.
export type SuggestedUser = { username: string; password: string };

const meta = document.querySelector<HTMLMetaElement>('meta[name="users"]');

export const suggestedUsers: SuggestedUser[] = meta ? JSON.parse(meta.content) : [];
