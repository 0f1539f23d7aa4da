// Calls the API that serves this page. Holds the key in the memory of this tab, and nowhere else.

export const BASE = new URL(".", document.baseURI).href;
const LONGEST_WAIT_MS = 60000; // API Gateway answers within 29 s
let key = "";

/** Send this key from now on; "" sends none. */
export function useKey(value) {
  key = value.trim();
}

/** Whether a key was given. */
export function hasKey() {
  return key !== "";
}

/**
 * An answer that is an error, as problem details; status 0 means that there was no answer. Where the page itself says
 * what went wrong, its body has `ours`.
 */
export class Problem extends Error {
  constructor(status, body, headers) {
    super(body.detail || body.message || `HTTP ${status}`);
    this.status = status;
    this.body = body;
    this.retryAfter_s = secondsOf(body.retry_after_s ?? headers?.get("retry-after"));
    this.requestId = headers?.get("x-request-id") || "";
  }
}

/** Return the seconds of a Retry-After, which may be a date; 0 where there is none. */
function secondsOf(given) {
  const seconds = Number(given ?? 0);
  return Math.max(0, Number.isNaN(seconds) ? (Date.parse(given) - Date.now()) / 1000 || 0 : seconds);
}

/** Call a route: its status, JSON, bytes, and the milliseconds as the browser saw them. Throws a Problem. */
export async function call(method, path, body, { signal, headers = {} } = {}) {
  const sent = { ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  if (key) sent.Authorization = `Bearer ${key}`;
  const began_ms = performance.now();
  let reply;
  let text;
  try {
    reply = await fetch(new URL(path, BASE), {
      method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body),
      signal: limited(signal), credentials: "omit", cache: "no-store", redirect: "error",
    });
    text = await reply.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const late = error.name === "TimeoutError";
    throw new Problem(0, { title: "no answer", ours: late,
      detail: late ? `The API did not answer within ${LONGEST_WAIT_MS / 1000} s.` : "The API did not answer.",
      hint: "look whether it runs, and whether this machine reaches it", retryable: true });
  }
  const took_ms = performance.now() - began_ms;
  const read = parsed(text);
  if (!reply.ok) {
    throw new Problem(reply.status, read ?? { title: reply.statusText, detail: text.slice(0, 300) }, reply.headers);
  }
  if (!read) {
    throw new Problem(reply.status, { title: "The answer cannot be read", ours: true,
      detail: `got ${JSON.stringify(text.slice(0, 80))}, expected JSON`,
      hint: "something between this page and the API may have answered in its place" }, reply.headers);
  }
  const n_bytes = new TextEncoder().encode(text).length;
  return { status: reply.status, body: read, n_bytes, took_ms, timings: serverTimings(reply.headers) };
}

/** Return a signal that also ends a call which takes too long. */
function limited(signal) {
  const late = AbortSignal.timeout(LONGEST_WAIT_MS);
  return signal ? AbortSignal.any([signal, late]) : late;
}

/** Return the object or list of a JSON text, or null. */
function parsed(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

/** Return the stages of a Server-Timing header, in milliseconds. */
function serverTimings(headers) {
  const found = {};
  for (const each of (headers.get("server-timing") || "").split(",")) {
    const match = /^\s*([\w-]+);dur=([\d.]+)/.exec(each);
    if (match) found[match[1]] = Number(match[2]);
  }
  return found;
}

/** Post a file by a signed form. A bucket elsewhere lets nobody read its answer: `start` finds out what arrived. */
export async function upload(target, file, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(target.fields)) form.append(name, value);
  form.append("file", file, file.name);
  const url = new URL(target.url, BASE);
  const near = url.origin === location.origin;
  let reply;
  try {
    reply = await fetch(url, {
      method: "POST", body: form, mode: near ? "same-origin" : "no-cors", credentials: "omit", signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw notUploaded(0, `The browser could not upload ${file.name} to ${url.host}.`,
      "look whether the bucket can be reached from here, and whether the file is still as it was when it was chosen");
  }
  if (near && !reply.ok) {
    throw notUploaded(reply.status, `The bucket refused ${file.name} (${reply.status}).`, "try again: each try gets new signed forms");
  }
}

function notUploaded(status, detail, hint) {
  return new Problem(status, { title: "Not uploaded", detail, hint, retryable: true, ours: true });
}
