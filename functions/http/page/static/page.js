// The playground: reads which models are served, makes a form for each task, sends it, and shows the answer.
import { byId, duration, el } from "./dom.js";
import { call, Problem } from "./api.js";
import { askForKey, whenKeyIsGiven } from "./key.js";
import { problemCard } from "./problems.js";
import { fill, input, isJson, wrong } from "./fields.js";
import { facts, nothing } from "./results.js";
import { codeOf } from "./sentences.js";
import { shortJson } from "./snippets.js";
import { showCode } from "./code.js";
import { plainView, VIEWS } from "./tasks.js";
import { jobPanel, leaveJobs } from "./jobs.js";

const JOBS = "batch";
const kept = {}; // the values of each form while the page is open
let offered = []; // views with their models; empty until the models are read
let asking = new AbortController();
let running = new AbortController();

/** Read the models, then show the view of the address. */
async function begin() {
  const work = byId("work");
  asking.abort();
  asking = new AbortController();
  running.abort();
  leaveJobs();
  byId("tasks").replaceChildren(el("p", { class: "note" }, "Reading which models are served …"));
  byId("beside").hidden = true;
  work.replaceChildren(el("div", { class: "loading", role: "status" }, el("span", {}, "Loading …")));
  try {
    offered = views((await call("GET", "v1/models", undefined, { signal: asking.signal })).body);
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (!(problem instanceof Problem)) throw problem;
    offered = [];
    byId("tasks").replaceChildren();
    work.replaceChildren(problemCard(problem, begin));
    if (problem.status === 401) askForKey();
    return;
  }
  if (!offered.length) {
    byId("tasks").replaceChildren();
    work.replaceChildren(nothing("No model is served here. `glossa catalog add` adds one."));
    return;
  }
  const link = (id, name) => el("li", {}, el("a", { href: `#${id}`, "data-view": id }, name));
  byId("tasks").replaceChildren(el("ul", {}, offered.map(({ view }) => link(view.id, view.name)), link(JOBS, "Batch job")));
  show();
}

/** Return each view that a served head can do, with the references of its models, the default first. */
function views({ models, defaults }) {
  const tasks = new Map();
  for (const model of models) {
    for (const [head, of] of Object.entries(model.heads)) {
      for (const task of of.tasks) {
        if (!tasks.has(task)) tasks.set(task, []);
        tasks.get(task).push({ reference: `${model.name}:${head}`, model, head: of });
      }
    }
  }
  const known = new Set(VIEWS.map((view) => view.task));
  const all = [...VIEWS, ...[...tasks.keys()].filter((task) => !known.has(task)).map(plainView)];
  return all.filter((view) => tasks.has(view.task)).map((view) => ({
    view, choices: tasks.get(view.task).sort((a, b) =>
      Number(b.reference === defaults[view.task]) - Number(a.reference === defaults[view.task])),
  }));
}

/** The address after # names the view and the model, so that a link leads to them; texts are never in it. */
function asked() {
  const [id, reference] = location.hash.slice(1).split("/");
  const entry = offered.find(({ view }) => view.id === id) || (id === JOBS ? null : offered[0]);
  return { entry, choice: entry && (entry.choices.find((one) => one.reference === reference) || entry.choices[0]) };
}

function show() {
  running.abort();
  leaveJobs();
  const { entry, choice } = asked();
  for (const link of byId("tasks").querySelectorAll("a")) { // the links stay, so that the focus does
    if (link.dataset.view === (entry ? entry.view.id : JOBS)) {
      link.setAttribute("aria-current", "page");
      reveal(link);
    } else link.removeAttribute("aria-current");
  }
  byId("beside").hidden = true;
  document.title = `${entry ? entry.view.name : "Batch job"} – Glossa playground`;
  if (entry) showTask(entry, choice);
  else byId("work").replaceChildren(...jobPanel(jobViews()));
}

/** Scroll a list of links sideways, on a phone, until one of them is seen. */
function reveal(link) {
  const list = link.closest("ul");
  const start = link.offsetLeft - list.offsetLeft;
  if (start < list.scrollLeft || start + link.offsetWidth > list.scrollLeft + list.clientWidth) list.scrollLeft = start - 16;
}

function jobViews() {
  const done = new Set();
  return offered.filter(({ view }) => view.show && !done.has(view.task) && done.add(view.task)).map(({ view, choices }) => {
    const samples = examplesOf(view, choices[0]);
    const defaults = { ...usual(view), ...(samples[0]?.values ?? {}) };
    return { view, examples: samples, defaults, model: choices[0].model, models: choices.map((one) => one.reference) };
  });
}

function examplesOf(view, choice) {
  return typeof view.examples === "function" ? view.examples(choice.head) : view.examples;
}

function usual(view) {
  return Object.fromEntries(view.fields.map(({ name, kind, usual: value }) => [name, kind === "check" ? false : value ?? ""]));
}

function showTask({ view, choices }, choice) {
  kept[view.id] ??= usual(view);
  const values = kept[view.id];
  const out = el("div", { class: "results", id: "results" }, nothing("Pick an example, or type a text. Then run it."));
  const status = el("p", { class: "status", id: "status", role: "status" });
  const inputs = view.fields.map((field) => input(field, values));
  const context = { view, choice, values, out, status, answer: null };
  const shelf = el("div", {});
  const model = el("select", { id: "model" },
    choices.map(({ reference }) => el("option", { selected: reference === choice.reference }, reference)));
  const take = (example) => {
    Object.assign(values, usual(view), example.values);
    for (const { element, field } of inputs) fill(element, values[field.name], field.kind === "text" ? codeOf(example.language) : null);
    send(context);
  };
  model.addEventListener("change", () => {
    context.choice = choices.find(({ reference }) => reference === model.value);
    history.replaceState(null, "", `#${view.id}/${model.value}`);
    shelf.replaceChildren(examples(view, context.choice, take));
    code(context);
  });
  shelf.append(examples(view, choice, take));
  const form = el("form", { id: "form", novalidate: true, onsubmit: (event) => { event.preventDefault(); send(context); } },
    shelf,
    inputs.filter(({ field }) => field.kind !== "number").map(({ box }) => box),
    el("div", { class: "row end" },
      el("div", { class: "field inline" }, el("label", { for: "model" }, "Model"), model),
      inputs.filter(({ field }) => field.kind === "number").map(({ box }) => box),
      el("button", { type: "submit", class: "main", "aria-keyshortcuts": "Control+Enter" }, "Run"),
      el("span", { class: "note keys" }, "Ctrl + Enter")));
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      send(context);
    }
  });
  form.addEventListener("input", () => code(context));
  byId("work").replaceChildren(el("h2", {}, view.name), el("p", { class: "says" }, view.says), form, status, out);
  code(context);
}

function examples(view, choice, choose) {
  const list = examplesOf(view, choice);
  if (!list.length) return "";
  return el("div", { class: "examples", role: "group", "aria-label": "Examples" }, list.map((example) =>
    el("button", { type: "button", class: "chip", dir: "auto", lang: codeOf(example.language), onclick: () => choose(example) },
      example.language)));
}

/** Send the form; show what comes back, or what went wrong. A newer request ends an older one. */
async function send(context) {
  const { view, choice, values, out, status } = context;
  const missing = view.fields.find((field) => field.required && !String(values[field.name]).trim());
  if (missing) {
    wrong(context, missing, `“${missing.label}” is empty. Pick an example, or type something.`);
    return;
  }
  const body = bodyOf(context, values);
  if (!body) {
    wrong(context, view.fields.find((field) => !isJson(values[field.name])) ?? view.fields[0],
      "That is not JSON. Write it as in the examples of the API reference.");
    return;
  }
  running.abort();
  running = new AbortController();
  const { signal } = running;
  status.textContent = `Asking ${choice.reference} …`;
  out.setAttribute("aria-busy", "true");
  out.classList.add("busy");
  context.answer = null;
  try {
    context.answer = await call("POST", `v1/${view.task}`, body, { signal });
    const shown = picture(context, body);
    status.textContent = `Answered in ${duration(context.answer.took_ms)}.`;
    out.replaceChildren(...[shown].flat(3).filter(Boolean), ...facts(context.answer));
    status.scrollIntoView({ block: "nearest" }); // with the room below it that page.css names
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (!(problem instanceof Problem)) throw problem;
    status.textContent = "";
    out.replaceChildren(problemCard(problem, () => send(context)));
    if (problem.status === 401) askForKey();
    context.answer = problem.status ? { body: problem.body } : null;
  } finally {
    if (!signal.aborted) {
      out.removeAttribute("aria-busy");
      out.classList.remove("busy");
    }
  }
  code(context);
}

/** Return what shows the results of an answer. A form that the page does not know is shown as JSON. */
function picture({ view, values, answer }, body) {
  try {
    if (view.show) return view.show(answer.body.results, { values: { ...values }, body });
  } catch (error) {
    console.error(error); // the answer is still shown, below
  }
  return [view.show && nothing("This answer has a form that this page has no picture of."),
    el("pre", { tabindex: "0" }, shortJson(answer.body.results ?? answer.body))];
}

/** Return the request that values make, or null where they are no JSON. */
function bodyOf({ view, choice }, values) {
  try {
    return { model: choice.reference, ...view.body(values, choice.model) };
  } catch {
    return null;
  }
}

function isFilled(view, values) {
  return view.fields.every(({ name, required }) => !required || String(values[name]).trim());
}

/** Show the request of the form in code, that of the first example while the form is empty, and the last answer. */
function code(context) {
  const { view, choice, values, answer } = context;
  const sample = examplesOf(view, choice)[0];
  const body = isFilled(view, values) ? bodyOf(context, values) : sample && bodyOf(context, { ...usual(view), ...sample.values });
  showCode(view.task, body, answer);
}

whenKeyIsGiven(begin);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the task
  byId("work").focus();
});
window.addEventListener("hashchange", () => {
  if (offered.length) show();
});
begin();
