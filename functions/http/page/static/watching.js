// Shows one batch job at a time: its steps, its state while it runs, and what it made. One line says each change of
// state to people who hear the page; everything else is changed in place, so that the focus stays where it is.
import { byId, count, duration, el, words } from "./dom.js";
import { BASE, call, Problem } from "./api.js";
import { problemCard } from "./problems.js";
import { nothing, table } from "./results.js";
import { shortJson } from "./snippets.js";

const ENDED = ["SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"];
const SAID = {
  CREATED: "made, waits for its files", SUBMITTED: "started", PLANNING: "reads the files", RUNNING: "answers the records",
  FINALIZING: "writes the manifest", SUCCEEDED: "done", PARTIALLY_SUCCEEDED: "done, with errors",
  FAILED: "could not be done", CANCELLING: "stops", CANCELLED: "stopped before its end",
  REDRIVING: "answers failed records again",
};
const POLL_MS = 700;
const SLOW_POLL_MS = 3000;
const PATIENCE = 5; // polls without an answer, one after the other, before the page gives up
const SHOWN_ROWS = 8;
const SHOWN_ERRORS = 20;

/** Return the place of jobs. `left` is the signal that the view is left: it ends all that goes on here, but no job. */
export function jobPlace(left) {
  const heard = el("p", { class: "heard", role: "status" });
  const out = el("div", { class: "results", id: "job" });
  let now = new AbortController();
  left.addEventListener("abort", () => now.abort());
  return {
    elements: [heard, out],
    show: (...nodes) => out.replaceChildren(...nodes.filter(Boolean)),
    add: (node) => out.append(node),
    say: (text) => { heard.textContent = text; },
    /** End what went on here; return the signal of what begins. */
    begin: () => {
      now.abort();
      now = new AbortController();
      if (left.aborted) now.abort();
      return now.signal;
    },
  };
}

/** Show a job until it has ended, then what it made. `steps` stay above it. */
export async function watch(place, job, steps = null) {
  const signal = place.begin();
  const view = jobView(job, place, signal);
  place.show(steps, view.element);
  try {
    await followed(job, view, signal);
    view.element.append(...await made(job, signal));
    byId("recent")?.dispatchEvent(new Event("toggle"));
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (!(problem instanceof Problem)) throw problem;
    view.element.append(problemCard(problem, () => watch(place, job, steps)));
  }
}

/** Ask for the state until the job has ended. What may pass is waited for; Retry-After says how long. */
async function followed(job, view, signal) {
  const began_ms = performance.now();
  for (let n_failed = 0; ;) {
    let wait_ms = performance.now() - began_ms < 20000 ? POLL_MS : SLOW_POLL_MS;
    try {
      const { body } = await call("GET", `v1/jobs/${job}`, undefined, { signal });
      n_failed = 0;
      view.update(body);
      if (ENDED.includes(body.state)) return;
    } catch (problem) {
      n_failed += 1;
      const passes = problem instanceof Problem && [0, 429, 502, 503, 504].includes(problem.status);
      if (!passes || n_failed === PATIENCE) throw problem;
      wait_ms = Math.max(SLOW_POLL_MS, problem.retryAfter_s * 1000);
      view.wait(wait_ms);
    }
    await sleep(wait_ms, signal);
  }
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const leave = () => {
      clearTimeout(timer);
      reject(new DOMException("left", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", leave);
      resolve();
    }, ms);
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
  });
}

/** Return the elements of a job's state, made once, and what changes them. */
function jobView(job, place, signal) {
  const heading = el("h3", { tabindex: "-1" }, `Job ${job.slice(0, 12)}`);
  const bar = el("progress", { max: "1", "aria-label": "Progress of the job" });
  const facts = el("p", {});
  const trouble = el("div", {});
  const cancel = el("button", { type: "button", class: "quiet", onclick: () => stop() }, "Cancel the job");
  const actions = el("p", {}, cancel);
  let shown = "";

  async function stop() {
    if (cancel.getAttribute("aria-disabled")) return;
    stopping(true);
    trouble.replaceChildren();
    try {
      await call("POST", `v1/jobs/${job}/cancel`, undefined, { signal });
    } catch (problem) {
      if (problem.name === "AbortError") return;
      if (!(problem instanceof Problem)) throw problem;
      stopping(false);
      trouble.replaceChildren(problemCard(problem, null));
    }
  }

  function stopping(so) { // aria-disabled, as a disabled button would lose the focus
    cancel.textContent = so ? "Cancelling …" : "Cancel the job";
    if (so) cancel.setAttribute("aria-disabled", "true");
    else cancel.removeAttribute("aria-disabled");
  }

  function update(body) {
    const ended = ENDED.includes(body.state);
    const said = factsOf(body, ended);
    if (facts.textContent !== said) facts.textContent = said;
    if (ended) bar.value = 1;
    else if (body.progress === null || body.progress === undefined) bar.removeAttribute("value");
    else bar.value = body.progress;
    if (shown === body.state) return;
    shown = body.state;
    heading.textContent = `${body.state.replaceAll("_", " ").toLowerCase()}: ${SAID[body.state] || ""}`;
    place.say(`Job ${heading.textContent}`);
    if (body.state === "CANCELLING") stopping(true);
    if (!ended) return;
    if (document.activeElement === cancel) heading.focus();
    actions.remove();
    trouble.replaceChildren(...(body.error ? [el("p", { class: "card problem" }, `${body.error.code}: `, words(body.error.detail))] : []));
  }

  const wait = (ms) => { facts.textContent = `No answer just now. Asking again in ${duration(ms)}.`; };
  return { element: el("div", { class: "job" }, heading, bar, facts, trouble, actions), update, wait };
}

/** Return what is known of a job, in a line. */
function factsOf({ counts, progress, records_per_s: rate, eta_s: left_s }, ended) {
  const counted = ended || (progress !== null && progress !== undefined);
  const found = counts.records ? `${count(counts.records, "record")} found so far` : "records not counted yet";
  const said = [counted ? `${counts.succeeded + counts.failed} of ${count(counts.records, "record")}` : found];
  if (rate) said.push(`${rate >= 10 ? Math.round(rate) : rate} a second`);
  if (left_s && !ended) said.push(`${duration(left_s * 1000)} left`);
  if (counts.failed) said.push(count(counts.failed, "error row"));
  if (counts.unreadable_inputs) said.push(count(counts.unreadable_inputs, "unreadable file"));
  return said.join(" · ");
}

/** Return what an ended job made: links to its files, its first rows, its error rows. */
async function made(job, signal) {
  const { body } = await call("GET", `v1/jobs/${job}/results`, undefined, { signal });
  const link = (name, url) => el("li", {}, el("a", { href: safe(url), download: "", rel: "noreferrer" }, name));
  const links = body.parts.map((part, i) => link(`part ${i + 1}: ${count(part.records, "row")} (${body.output})`, part.url));
  if (body.manifest) links.unshift(link("manifest.json", body.manifest.url));
  const parts = [el("h3", {}, "Results"), links.length ? el("ul", {}, links) : nothing("This job made no files.")];
  if (body.next) parts.push(el("p", { class: "note" }, "There are more parts. The manifest names all of them."));
  if (body.parts.length && body.output === "jsonl") parts.push(await firstRows(body.parts[0].url, signal));
  if (body.counts.failed) parts.push(...await errorRows(job, body.counts.failed, signal));
  return parts;
}

async function errorRows(job, n_failed, signal) {
  const path = `v1/jobs/${job}/errors?page_size=${SHOWN_ERRORS}`;
  const rows = (await call("GET", path, undefined, { signal })).body.errors;
  const title = rows.length < n_failed ? `Error rows, the first ${rows.length} of ${n_failed.toLocaleString("en")}` : "Error rows";
  return [el("h3", {}, title), table(["Record", "Code", "What was wrong"], rows.map((row) => [
    String(row.index), row.error.code, words(row.error.detail)]), "Error rows")];
}

/** Return an address that a link may have: https, or http where this page has that too. Anything else would be a script. */
function safe(address) {
  const url = new URL(address, BASE);
  return ["https:", location.protocol].includes(url.protocol) ? url.href : null;
}

/** Return the first rows of a part. A bucket elsewhere lets no page read it, so there is a link alone. */
async function firstRows(address, signal) {
  const url = new URL(address, BASE);
  if (url.origin !== location.origin) return el("p", { class: "note" }, "The bucket is on another host: download a part to see its rows.");
  try {
    const reply = await fetch(url, { signal, mode: "same-origin" });
    if (!reply.ok) throw new Error(`HTTP ${reply.status}`);
    const rows = (await firstLines(reply.body, SHOWN_ROWS)).map((line) => JSON.parse(line));
    return table(["Record", "Id", "Result"], rows.map((row) => [String(row.index), words(row.id ?? ""),
      el("code", {}, words(shortJson(row.result ?? row.error, 0)))]), "First rows");
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return el("p", { class: "note" }, "The rows could not be shown here; the link above leads to them.");
  }
}

/** Return the first lines of a stream, and read no further: a part may be large. */
async function firstLines(stream, most) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let lines = [""];
  for (;;) {
    const { value, done } = await reader.read();
    if (!done) lines = [...lines.slice(0, -1), ...(lines.at(-1) + value).split("\n")];
    if (done || lines.length > most) {
      reader.cancel().catch(() => {});
      return lines.slice(0, most).filter(Boolean);
    }
  }
}

/** Return the list of the latest jobs of this caller. It asks for them whenever it is opened. */
export function recentJobs(place, left) {
  const list = el("div", {});
  const box = el("details", { id: "recent", class: "recent" }, el("summary", {}, "Recent jobs"), list);
  box.addEventListener("toggle", async () => {
    if (!box.open || list.contains(document.activeElement)) return;
    if (!list.firstChild) list.append(el("p", { class: "note" }, "Asking …"));
    try {
      const { jobs } = (await call("GET", "v1/jobs?page_size=10", undefined, { signal: left })).body;
      list.replaceChildren(jobs.length ? el("ul", {}, jobs.map((job) => recentJob(job, place))) : nothing("There are no jobs yet."));
    } catch (problem) {
      if (problem.name === "AbortError") return;
      if (!(problem instanceof Problem)) throw problem;
      list.replaceChildren(problemCard(problem, null));
    }
  });
  return box;
}

function recentJob(job, place) {
  const id = job.job.slice(0, 12);
  const at = new Date(job.created_at).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
  return el("li", {},
    el("button", { type: "button", class: "link", "aria-label": `Show job ${id}`, onclick: () => watch(place, job.job) }, id),
    ` ${[job.task, SAID[job.state] || job.state, at].filter(Boolean).join(", ")}`);
}
