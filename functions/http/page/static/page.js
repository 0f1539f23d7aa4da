// The playground: reads which models are served, makes a form for each task, sends it, and shows the answer.
import { byId, copyButton, count, duration, el, tabs } from "./dom.js";
import { call, Problem, useKey } from "./api.js";
import { problemCard } from "./problems.js";
import { facts, nothing } from "./results.js";
import { clientLines, curlLine, pythonLines, shortJson } from "./snippets.js";
import { plainView, VIEWS } from "./tasks.js";
import { jobPanel, stopWatching } from "./jobs.js";

const JOBS = "batch";
const kept = {}; // the values of each form while the page is open
let offered = []; // views with their models; empty until the models are read
let running = new AbortController();
let tabChosen = 0;

/** Read the models, then show the view of the address. */
async function begin() {
  const work = byId("work");
  byId("tasks").replaceChildren(el("p", { class: "note" }, "Reading which models are served …"));
  byId("beside").hidden = true;
  work.replaceChildren(el("div", { class: "loading", role: "status" }, el("span", {}, "Loading …")));
  try {
    offered = views((await call("GET", "v1/models")).body);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    offered = [];
    byId("tasks").replaceChildren();
    work.replaceChildren(problemCard(problem, begin));
    if (problem.status === 401) openKey();
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

function openKey() {
  byId("key").open = true;
  byId("key-value").focus();
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
  stopWatching();
  const { entry, choice } = asked();
  for (const link of byId("tasks").querySelectorAll("a")) { // the links stay, so that the focus does
    if (link.dataset.view === (entry ? entry.view.id : JOBS)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  byId("beside").hidden = true;
  document.title = `${entry ? entry.view.name : "Batch job"} – Glossa playground`;
  if (entry) showTask(entry, choice);
  else byId("work").replaceChildren(...jobPanel(jobViews()));
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
    for (const { element, field } of inputs) fill(element, values[field.name]);
    send(context);
  };
  model.addEventListener("change", () => {
    context.choice = choices.find(({ reference }) => reference === model.value);
    history.replaceState(null, "", `#${view.id}/${model.value}`);
    shelf.replaceChildren(examples(view, context.choice, take));
    showCode(context);
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
  form.addEventListener("input", () => showCode(context));
  byId("work").replaceChildren(el("h2", {}, view.name), el("p", { class: "says" }, view.says), form, status, out);
  showCode(context);
}

function examples(view, choice, choose) {
  const list = examplesOf(view, choice);
  if (!list.length) return "";
  return el("div", { class: "examples", role: "group", "aria-label": "Examples" }, list.map((example) =>
    el("button", { type: "button", class: "chip", dir: "auto", onclick: () => choose(example) }, example.language)));
}

function fill(element, value) {
  if (element.type === "checkbox") element.checked = value;
  else element.value = value;
}

function input(field, values) {
  const id = `field-${field.name}`;
  const note = field.note ? `${id}-note` : null;
  const many = ["text", "lines", "json"].includes(field.kind);
  const element = el(many ? "textarea" : "input", {
    id, rows: many ? field.rows : null, dir: field.kind === "json" ? "ltr" : "auto", spellcheck: "false", autocomplete: "off",
    type: many ? null : { number: "number", check: "checkbox" }[field.kind] || "text", min: field.least, max: field.most,
    "aria-describedby": note, "aria-required": field.required ? "true" : null,
  });
  fill(element, values[field.name]);
  element.addEventListener("input", () => {
    element.removeAttribute("aria-invalid");
    values[field.name] = field.kind === "check" ? element.checked : field.kind === "number" ? element.valueAsNumber || field.usual : element.value;
  });
  const label = el("label", { for: id }, field.label);
  const box = field.kind === "check" ? el("div", { class: "field check" }, element, label)
    : el("div", { class: `field ${field.kind}` }, label, element, note && el("p", { class: "note", id: note }, field.note));
  return { element, box, field };
}

/** Send the form; show what comes back, or what went wrong. A newer request ends an older one. */
async function send(context) {
  const { view, choice, values, out, status } = context;
  const missing = view.fields.find((field) => field.required && !String(values[field.name]).trim());
  if (missing) {
    status.textContent = "";
    out.replaceChildren(nothing(`“${missing.label}” is empty. Pick an example, or type something.`));
    byId(`field-${missing.name}`).setAttribute("aria-invalid", "true");
    byId(`field-${missing.name}`).focus();
    return;
  }
  const body = bodyOf(context, values);
  if (!body) {
    out.replaceChildren(nothing("That is not JSON. Write it as in the examples of the API reference."));
    return;
  }
  running.abort();
  running = new AbortController();
  const { signal } = running;
  status.textContent = `Asking ${choice.reference} …`;
  out.setAttribute("aria-busy", "true");
  out.classList.add("busy");
  let answer = null;
  try {
    answer = await call("POST", `v1/${view.task}`, body, { signal });
    const shown = view.show ? view.show(answer.body.results, { values: { ...values }, body }) : el("pre", { tabindex: "0" }, shortJson(answer.body.results));
    status.textContent = `Answered in ${duration(answer.took_ms)}.`;
    out.replaceChildren(...[shown].flat(3).filter(Boolean), ...facts(answer));
    status.scrollIntoView({ block: "nearest" }); // with the room below it that page.css names
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (!(problem instanceof Problem)) throw problem;
    status.textContent = "";
    out.replaceChildren(problemCard(problem, () => send(context)));
    if (problem.status === 401) openKey();
    answer = problem.status ? { body: problem.body } : null;
  } finally {
    if (!signal.aborted) {
      out.removeAttribute("aria-busy");
      out.classList.remove("busy");
    }
  }
  context.answer = answer;
  showCode(context);
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
function showCode(context) {
  const { view, choice, values, answer } = context;
  const sample = examplesOf(view, choice)[0];
  const body = isFilled(view, values) ? bodyOf(context, values) : sample && bodyOf(context, { ...usual(view), ...sample.values });
  byId("beside").hidden = !body;
  if (!body) return;
  const path = `v1/${view.task}`;
  const client = clientLines(view.task, body);
  const code = (text, full = text) => [el("pre", { tabindex: "0" }, el("code", {}, text)), copyButton("Copy", () => full)];
  const panels = [
    ["curl", () => code(curlLine(path, body))],
    ["Python", () => code(pythonLines(path, body))],
    ...(client ? [[client[0], () => code(client[1])]] : []),
    ...(answer ? [["JSON", () => code(shortJson(answer.body), JSON.stringify(answer.body, null, 2))]] : []),
  ];
  const made = tabs("The request in code", panels, tabChosen);
  made.element.addEventListener("click", () => { tabChosen = made.chosen(); });
  made.element.addEventListener("keyup", () => { tabChosen = made.chosen(); });
  const bytes = answer ? new TextEncoder().encode(JSON.stringify(answer.body)).length : 0;
  byId("beside").replaceChildren(el("h2", {}, "The request in code"), made.element,
    answer ? el("p", { class: "note" }, `The answer has ${count(bytes, "byte")}.`) : "");
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key-value").value);
  byId("key").open = false;
  begin();
});
window.addEventListener("hashchange", () => {
  if (offered.length) show();
});
begin();
