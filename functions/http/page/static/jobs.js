// The form of a batch job: choose files, upload them by signed forms, start the job. watching.js shows what comes of it.
import { count, el } from "./dom.js";
import { call, Problem, upload } from "./api.js";
import { problemCard } from "./problems.js";
import { nothing } from "./results.js";
import { jobPlace, recentJobs, watch } from "./watching.js";

let shown = new AbortController(); // the view that is shown
let unstarted = null; // the last submission of which nobody knows yet that it was started

/** End what the view does: making, uploading and watching. A job that was started goes on. */
export function leaveJobs() {
  shown.abort();
}

/** Return the form of a new job. `views` are the tasks that a job may do, with the models of each; see page.js. */
export function jobPanel(views) {
  shown = new AbortController();
  const place = jobPlace(shown.signal);
  place.show(nothing("Choose files, or take the sample, and start a job."));
  const files = el("input", { type: "file", id: "files", multiple: true, accept: ".txt,.jsonl,.ndjson,.csv,.tsv,.gz",
    "aria-describedby": "files-note" });
  const task = el("select", { id: "job-task" }, views.map(({ view }, i) => el("option", { value: i }, view.jobName || view.name)));
  const model = el("select", { id: "job-model" });
  const text = el("select", { id: "job-text" }, el("option", { value: "lines" }, "each line is a record"),
    el("option", { value: "document" }, "each file is a record"));
  const output = el("select", { id: "job-output" }, ["jsonl", "csv", "jsonl.gz"].map((name) => el("option", {}, name)));
  const sample = el("p", { class: "note", role: "status" });
  const button = el("button", { type: "submit", class: "main" }, "Start the job");
  let samples = [];
  const chosen = () => views[Number(task.value)];
  const take = (found) => {
    samples = found;
    sample.textContent = found.map(({ file, n }) => `${file.name}: ${count(n, "record")}, from the examples of this task.`).join("");
    files.removeAttribute("aria-invalid");
  };
  const show = () => {
    model.replaceChildren(...chosen().models.map((name) => el("option", {}, name)));
    take([]);
  };
  task.addEventListener("change", show);
  show();
  const takeSample = () => {
    take([sampleFile(chosen())]);
    files.value = "";
  };
  files.addEventListener("change", () => take([]));
  const start = async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled")) return;
    const given = [...files.files, ...samples.map(({ file }) => file)];
    if (!given.length) {
      const said = "No file is chosen yet. Choose some, or take the sample.";
      place.begin(); // a job that was shown here is no longer watched
      place.show(nothing(said));
      place.say(said);
      files.setAttribute("aria-invalid", "true");
      files.focus();
      return;
    }
    const { view, defaults } = chosen();
    const { parameters } = view.body(defaults, {});
    const spec = { task: view.task, model: model.value, output: output.value, format: { text: text.value }, ...(parameters ? { parameters } : {}) };
    await submit({ place, button }, given, spec);
  };
  return [
    el("h2", {}, "Batch job"),
    el("p", { class: "says" }, "Answers many texts in files. They go to the bucket of this stack by signed forms, and results come back as files."),
    el("form", { id: "job-form", onsubmit: start },
      field("Files", "files", files, "Text, JSON lines, CSV or TSV, also with .gz."),
      el("p", {}, el("button", { type: "button", class: "quiet", id: "sample", onclick: takeSample }, "Take a sample file")), sample,
      el("div", { class: "pair" }, field("Task", "job-task", task), field("Model", "job-model", model)),
      el("div", { class: "pair" }, field("Text files", "job-text", text), field("Results as", "job-output", output)),
      el("p", {}, button)),
    ...place.elements,
    recentJobs(place, shown.signal),
  ];
}

function field(label, id, input, note) {
  return el("div", { class: "field" }, el("label", { for: id }, label), input, note && el("p", { class: "note", id: `${id}-note` }, note));
}

/** Return a file of records made of the examples of a view, and how many there are. */
function sampleFile({ view, examples, defaults, model }) {
  const rows = examples.flatMap(({ values }) => view.body({ ...defaults, ...values }, model).inputs)
    .map((input, i) => JSON.stringify({ ...(typeof input === "string" ? { text: input } : input), id: `r${i + 1}` }));
  return { n: rows.length, file: new File([`${rows.join("\n")}\n`], "sample.jsonl", { type: "application/x-ndjson" }) };
}

/**
 * Return the key of a submission. The same files with the same settings keep theirs until their job has been started, so
 * that trying again after a lost answer makes no second job.
 */
function keyOf(files, spec) {
  const settings = JSON.stringify(spec);
  const same = unstarted?.settings === settings && unstarted.files.length === files.length
    && unstarted.files.every((file, i) => file === files[i]);
  if (!same) unstarted = { files, settings, key: randomKey() };
  return unstarted.key;
}

/** Return 32 random digits. `crypto.randomUUID` is only there over https and on this machine. */
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Make, upload and start a job, then watch it. While it does, `form.button` starts no other one. */
async function submit(form, files, spec) {
  const { place, button } = form;
  const signal = place.begin();
  const steps = stepList(place);
  place.show(steps.element);
  button.setAttribute("aria-disabled", "true"); // a disabled button would lose the focus
  let job;
  try {
    job = await started(files, spec, steps, signal);
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (!(problem instanceof Problem)) throw problem;
    steps.fail();
    place.add(problemCard(problem, () => submit(form, files, spec)));
    return;
  } finally {
    button.removeAttribute("aria-disabled");
  }
  await watch(place, job, steps.element);
}

/** Make a job, upload its files and start it, each as a step; return its id. */
async function started(files, spec, steps, signal) {
  steps.next("Making the job");
  const job = await madeJob(files, spec, signal);
  steps.done(`Job ${job.job} is made.`);
  if (job.state === "CREATED") { // else an earlier try has started it, and its answer was lost
    for (const [i, file] of files.entries()) {
      steps.next(`Uploading ${file.name}`);
      await upload(job.uploads[i], file, signal);
      steps.done(`${file.name} is uploaded: ${count(file.size, "byte")}.`);
    }
    steps.next("Starting the job");
    await call("POST", job.start.replace(/^\//, ""), undefined, { signal });
  } else steps.next("Starting the job");
  steps.done("The job is started.");
  unstarted = null;
  return job.job;
}

async function madeJob(files, spec, signal) {
  const body = { ...spec, files: files.map((file) => file.name) };
  try {
    return (await call("POST", "v1/jobs", body, { signal, headers: { "Idempotency-Key": keyOf(files, spec) } })).body;
  } catch (problem) {
    if (problem.status === 409) unstarted = null; // the job of this key was deleted
    throw problem;
  }
}

/** Return a list of steps, each of which is going on, done or failed. The place says what goes on. */
function stepList(place) {
  const element = el("ol", { class: "steps" });
  let doing = "";
  let last = null;
  const mark = (said, state) => {
    last.className = state;
    last.textContent = said;
  };
  return {
    element,
    next: (what) => {
      doing = what;
      last = el("li", {});
      element.append(last);
      mark(`${what} …`, "going");
      place.say(`${what} …`);
    },
    done: (said) => mark(said, "done"),
    fail: () => mark(`${doing} failed.`, "failed"),
  };
}
