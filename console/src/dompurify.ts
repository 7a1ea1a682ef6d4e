// Replaces Monaco's own copy of DOMPurify, which is old, with the version in package.json.
import purify from "dompurify";

export const sanitize = purify.sanitize;
export const addHook = purify.addHook;
export const removeHook = purify.removeHook;
