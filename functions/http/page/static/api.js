// Calls the API that serves this page. Holds the key in the memory of this tab, and nowhere else.

export const BASE = new URL(".", document.baseURI).href;
let key = "";

/** Send this key from now on; "" sends none. */
export function useKey(value) {
  key = value.trim();
}

/** Whether a key was given. */
export function hasKey() {
  return key !== "";
}

/** An answer that is an error, as problem details; status 0 means that there was no answer. */
export class Problem extends Error {
  constructor(status, body, headers) {
    super(body.detail || `HTTP ${status}`);
    this.status = status;
    this.body = body;
    this.retryAfter_s = Number(body.retry_after_s ?? headers?.get("retry-after")) || 0;
    this.requestId = headers?.get("x-request-id") || "";
  }
}

/** Call a route: its status, JSON and the milliseconds as the browser saw them. Throws a Problem. */
export async function call(method, path, body, { signal, headers = {} } = {}) {
  const sent = { ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  if (key) sent.Authorization = `Bearer ${key}`;
  const began_ms = performance.now();
  let reply;
  let text;
  try {
    reply = await fetch(new URL(path, BASE), {
      method, headers: sent, body: body === undefined ? undefined : JSON.stringify(body), signal,
      credentials: "omit", cache: "no-store", redirect: "error",
    });
    text = await reply.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "no answer", detail: "The API did not answer.",
      hint: "look whether it runs, and whether this machine reaches it", retryable: true });
  }
  const took_ms = performance.now() - began_ms;
  const read = parsed(text);
  if (!reply.ok) throw new Problem(reply.status, read ?? { title: reply.statusText, detail: text.slice(0, 300) }, reply.headers);
  return { status: reply.status, body: read, took_ms, timings: serverTimings(reply.headers) };
}

function parsed(text) {
  try {
    return JSON.parse(text);
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
export async function upload(target, file) {
  const form = new FormData();
  for (const [name, value] of Object.entries(target.fields)) form.append(name, value);
  form.append("file", file, file.name);
  const url = new URL(target.url, BASE);
  const ours = url.origin === location.origin;
  let reply;
  try {
    reply = await fetch(url, { method: "POST", body: form, mode: ours ? "same-origin" : "no-cors", credentials: "omit" });
  } catch {
    throw new Problem(0, { title: "not uploaded", detail: `The browser could not upload ${file.name} to ${url.host}.`,
      hint: "look whether the bucket can be reached from here", retryable: true });
  }
  if (ours && !reply.ok) {
    throw new Problem(reply.status, { title: "not uploaded", detail: `The bucket refused ${file.name} (${reply.status}).`,
      hint: "the signed form may have expired; make the job again" });
  }
}
