// A batch job from the page: choose files, upload them by signed forms, watch the job, fetch what it made.
import { byId, count, duration, el, words } from "./dom.js";
import { BASE, call, Problem, upload } from "./api.js";
import { problemCard } from "./problems.js";
import { nothing, table } from "./results.js";

const ENDED = ["SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED"];
const SAID = {
  CREATED: "made, waits for its files", SUBMITTED: "started", PLANNING: "reads the files", RUNNING: "answers the records",
  FINALIZING: "writes the manifest", SUCCEEDED: "done", PARTIALLY_SUCCEEDED: "done, with errors", FAILED: "failed",
  CANCELLING: "stops", CANCELLED: "cancelled", REDRIVING: "answers failed records again",
};
const POLL_MS = 700;
const SLOW_POLL_MS = 3000;
const SHOWN_ROWS = 8;

/** Watches jobs one at a time: a new one, or leaving the view, ends the watching of the last. */
let watching = new AbortController();

export function stopWatching() {
  watching.abort();
  watching = new AbortController();
}

/** Return the form of a new job. `views` are the tasks that a job may do, with the models of each; see page.js. */
export function jobPanel(views) {
  const out = el("div", { class: "results", id: "job", "aria-live": "polite" }, nothing("Choose files, or take the sample, and start a job."));
  const files = el("input", { type: "file", id: "files", multiple: true, accept: ".txt,.jsonl,.ndjson,.csv,.tsv,.gz" });
  const task = el("select", { id: "job-task" }, views.map(({ view }, i) => el("option", { value: i }, view.jobName || view.name)));
  const model = el("select", { id: "job-model" });
  const text = el("select", { id: "job-text" }, el("option", { value: "lines" }, "each line is a record"),
    el("option", { value: "document" }, "each file is a record"));
  const output = el("select", { id: "job-output" }, ["jsonl", "csv", "jsonl.gz"].map((name) => el("option", {}, name)));
  const sample = el("p", { class: "note" });
  let samples = [];
  const chosen = () => views[Number(task.value)];
  const show = () => {
    model.replaceChildren(...chosen().models.map((name) => el("option", {}, name)));
    samples = [];
    sample.textContent = "";
  };
  task.addEventListener("change", show);
  show();
  const takeSample = () => {
    samples = [sampleFile(chosen())];
    sample.textContent = `${samples[0].name}: ${count(samples[0].lines, "record")}, from the examples of this task.`;
    files.value = "";
  };
  files.addEventListener("change", () => { samples = []; sample.textContent = ""; });
  const start = async (event) => {
    event.preventDefault();
    const given = [...files.files, ...samples.map((each) => each.file)];
    if (!given.length) {
      out.replaceChildren(nothing("No file is chosen yet. Choose some, or take the sample."));
      files.focus();
      return;
    }
    const { view, defaults } = chosen();
    const { parameters } = view.body(defaults, {});
    const spec = { task: view.task, model: model.value, output: output.value, format: { text: text.value }, ...(parameters ? { parameters } : {}) };
    await run(out, given, spec);
  };
  return [
    el("h2", {}, "Batch job"),
    el("p", { class: "says" }, "Answers many texts in files. They go to the bucket of this stack by signed forms, and results come back as files."),
    el("form", { id: "job-form", onsubmit: start },
      field("Files", "files", files, "Text, JSON lines, CSV or TSV, also with .gz."),
      el("p", {}, el("button", { type: "button", class: "quiet", id: "sample", onclick: takeSample }, "Take a sample file")), sample,
      el("div", { class: "pair" }, field("Task", "job-task", task), field("Model", "job-model", model)),
      el("div", { class: "pair" }, field("Text files", "job-text", text), field("Results as", "job-output", output)),
      el("p", {}, el("button", { type: "submit", class: "main" }, "Start the job"))),
    out,
    recent(out),
  ];
}

function field(label, id, input, note) {
  return el("div", { class: "field" }, el("label", { for: id }, label), input, note && el("p", { class: "note" }, note));
}

/** Return a file of records made of the examples of a view. */
function sampleFile({ view, examples, defaults, model }) {
  const rows = examples.flatMap(({ values }) => view.body({ ...defaults, ...values }, model).inputs)
    .map((input, i) => JSON.stringify({ ...(typeof input === "string" ? { text: input } : input), id: `r${i + 1}` }));
  const name = "sample.jsonl";
  return { name, lines: rows.length, file: new File([`${rows.join("\n")}\n`], name, { type: "application/x-ndjson" }) };
}

/** Make, upload and start a job, then watch it. Each step says how it went. */
async function run(out, files, spec) {
  stopWatching();
  const steps = el("ol", { class: "steps" });
  const step = (name) => {
    const made = el("li", { class: "going" }, name);
    steps.append(made);
    return (said, state = "done") => { made.className = state; made.textContent = said; };
  };
  out.replaceChildren(steps);
  let done = step("Making the job …");
  try {
    const made = (await call("POST", "v1/jobs", { ...spec, files: files.map((file) => file.name) },
      { headers: { "Idempotency-Key": crypto.randomUUID() } })).body;
    done(`Job ${made.job} is made.`);
    for (const [i, file] of files.entries()) {
      done = step(`Uploading ${file.name} …`);
      await upload(made.uploads[i], file);
      done(`${file.name} is uploaded: ${count(file.size, "byte")}.`);
    }
    done = step("Starting …");
    await call("POST", made.start.replace(/^\//, ""));
    done("The job is started.");
    await watch(out, made.job, steps);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    done("This step failed.", "failed");
    out.append(problemCard(problem, () => run(out, files, spec)));
  }
}

/** Show a job until it has ended, then what it made. */
async function watch(out, job, steps = null) {
  stopWatching();
  const { signal } = watching;
  const view = el("div", { class: "job" });
  out.replaceChildren(...[steps, view].filter(Boolean));
  const began_ms = performance.now();
  try {
    for (;;) {
      const { body } = await call("GET", `v1/jobs/${job}`, undefined, { signal });
      if (signal.aborted) return;
      view.replaceChildren(...state(body, out));
      if (ENDED.includes(body.state)) break;
      await sleep(performance.now() - began_ms < 20000 ? POLL_MS : SLOW_POLL_MS, signal);
    }
    view.append(...await ended(job, signal));
    const list = byId("recent");
    if (list) list.replaceWith(recent(out));
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (!(problem instanceof Problem)) throw problem;
    view.append(problemCard(problem, () => watch(out, job, steps)));
  }
}

function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("left", "AbortError"));
    });
  });
}

function state(job, out) {
  const { counts } = job;
  const answered = counts.succeeded + counts.failed;
  const ended = ENDED.includes(job.state);
  const said = [`${answered} of ${count(counts.records, "record")}`];
  if (job.records_per_s) said.push(`${job.records_per_s} a second`);
  if (job.eta_s && !ended) said.push(`${duration(job.eta_s * 1000)} left`);
  if (counts.failed) said.push(count(counts.failed, "error row"));
  if (counts.unreadable_inputs) said.push(count(counts.unreadable_inputs, "unreadable file"));
  const cancel = async () => {
    try {
      await call("POST", `v1/jobs/${job.job}/cancel`);
    } catch (problem) {
      out.append(problemCard(problem, null));
    }
  };
  return [
    el("h3", {}, `${job.state.replaceAll("_", " ").toLowerCase()}: ${SAID[job.state] || ""}`),
    el("progress", { max: "1", value: ended ? 1 : job.progress ?? undefined, "aria-label": "Progress of the job" }),
    el("p", {}, said.join(" · ")),
    job.error && el("p", { class: "card problem" }, `${job.error.code}: `, words(job.error.detail)),
    !ended && el("p", {}, el("button", { type: "button", class: "quiet", onclick: cancel }, "Cancel the job")),
  ].filter(Boolean);
}

/** Return what an ended job made: links to its files, its first rows, its error rows. */
async function ended(job, signal) {
  const { body } = await call("GET", `v1/jobs/${job}/results`, undefined, { signal });
  const link = (name, url) => el("li", {}, el("a", { href: safe(url), download: "", rel: "noreferrer" }, name));
  const links = body.parts.map((part, i) => link(`part ${i + 1}: ${count(part.records, "row")} (${body.output})`, part.url));
  if (body.manifest) links.unshift(link("manifest.json", body.manifest.url));
  const parts = [el("h3", {}, "Results"), links.length ? el("ul", {}, links) : nothing("This job made no files.")];
  if (body.parts.length && body.output === "jsonl") parts.push(await firstRows(body.parts[0].url, signal));
  if (body.counts.failed) {
    const rows = (await call("GET", `v1/jobs/${job}/errors?page_size=20`, undefined, { signal })).body.errors;
    parts.push(el("h3", {}, "Error rows"), table(["Record", "Code", "What was wrong"], rows.map((row) => [
      String(row.index), row.error.code, words(row.error.detail)]), "Error rows"));
  }
  return parts;
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
    const rows = (await reply.text()).split("\n").filter(Boolean).slice(0, SHOWN_ROWS).map((line) => JSON.parse(line));
    return table(["Record", "Id", "Result"], rows.map((row) => [String(row.index), words(row.id ?? ""),
      el("code", {}, words(JSON.stringify(row.result ?? row.error)))]), "First rows");
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return el("p", { class: "note" }, "The rows could not be shown here; the link above leads to them.");
  }
}

/** Return the list of the latest jobs of this caller. */
function recent(out) {
  const list = el("div", {});
  const box = el("details", { id: "recent", class: "recent" }, el("summary", {}, "Recent jobs"), list);
  box.addEventListener("toggle", async () => {
    if (!box.open) return;
    list.replaceChildren(el("p", { class: "note" }, "Asking …"));
    try {
      const { jobs } = (await call("GET", "v1/jobs?page_size=10")).body;
      list.replaceChildren(jobs.length ? el("ul", {}, jobs.map((job) => el("li", {},
        el("button", { type: "button", class: "link", onclick: () => watch(out, job.job) }, job.job.slice(0, 12)),
        ` ${job.task}, ${SAID[job.state] || job.state}, ${job.created_at}`))) : nothing("There are no jobs yet."));
    } catch (problem) {
      list.replaceChildren(problemCard(problem, null));
    }
  });
  return box;
}
