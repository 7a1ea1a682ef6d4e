// DOMPurify for Monaco, which has a copy of an old one: the names that it imports, of the version in package.json.
import purify from "dompurify";

export const sanitize = purify.sanitize;
export const addHook = purify.addHook;
export const removeHook = purify.removeHook;
