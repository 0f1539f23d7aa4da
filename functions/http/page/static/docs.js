// The API reference: every operation of the OpenAPI document of this service, with its fields and a curl line.
import { byId, copyButton, el } from "./dom.js";
import { call, Problem } from "./api.js";
import { askForKey, whenKeyIsGiven } from "./key.js";
import { problemCard } from "./problems.js";
import { curlLine } from "./snippets.js";
import { exampleOf, resolved, schemaView, typeOf } from "./schemas.js";

const DOCUMENT = "openapi.json";
const METHODS = ["get", "post", "put", "patch", "delete"];
const GROUPS = [ // the first that fits a path has it
  ["Batch jobs", /^\/v1\/(jobs|recipes)/],
  ["Models and tokens", /^\/(v1\/(models|tokenize|detokenize|health|openapi\.json)|openapi\.json)/],
  ["Clients of OpenAI and Cohere", /^\/(v1\/(embeddings|embed|completions)|v2\/(embed|rerank))$/],
  ["Tasks", /^\/v1\//],
  ["Open Inference Protocol", /^\/v2(\/|$)/],
  ["Clients of Hugging Face", /^\/hf\//],
  ["Clients of TEI", /./],
];
const FIRST = ["Tasks", "Models and tokens", "Batch jobs"];

async function load() {
  byId("operations").replaceChildren(el("div", { class: "loading", role: "status" }, el("span", {}, "Reading the description …")));
  let document_;
  try {
    document_ = (await call("GET", DOCUMENT)).body;
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    byId("routes").replaceChildren();
    byId("operations").replaceChildren(problemCard(problem, load));
    if (problem.status === 401) askForKey();
    return;
  }
  draw(document_);
}

/** Return the operations of a document by group, in the order in which people look for them. */
function grouped(document_) {
  const groups = new Map([...FIRST, ...GROUPS.map(([name]) => name)].map((name) => [name, []]));
  for (const [path, methods] of Object.entries(document_.paths)) {
    for (const method of METHODS.filter((each) => methods[each])) {
      const [name] = GROUPS.find(([, pattern]) => pattern.test(path));
      groups.get(name).push({ path, method, of: methods[method], id: `${method}-${path.replace(/[^\w]+/g, "-").replace(/^-|-$/g, "")}` });
    }
  }
  return [...groups].filter(([, list]) => list.length);
}

function draw(document_) {
  const groups = grouped(document_);
  const filter = el("input", { id: "filter", type: "search", autocomplete: "off", spellcheck: "false" });
  const lists = groups.map(([name, list]) => el("section", { class: "group" }, el("h2", {}, name),
    el("ul", {}, list.map((each) => el("li", { "data-words": `${each.path} ${each.of.summary || ""}`.toLowerCase() },
      el("a", { href: `#${each.id}` }, el("span", { class: "verb" }, each.method), ` ${each.path}`))))));
  const none = el("p", { class: "note", role: "status" });
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    let n_left = 0;
    for (const list of lists) {
      let any = false;
      for (const item of list.querySelectorAll("li")) {
        item.hidden = !item.dataset.words.includes(wanted);
        any ||= !item.hidden;
        n_left += Number(!item.hidden);
      }
      list.hidden = !any;
    }
    none.textContent = wanted ? (n_left ? `${n_left} routes` : "No route has these words.") : "";
  });
  byId("routes").replaceChildren(el("div", { class: "field" }, el("label", { for: "filter" }, "Find a route"), filter), none, ...lists);
  byId("operations").replaceChildren(...groups.map(([name, list]) =>
    el("section", { "aria-label": name }, el("h2", {}, name), list.map((each) => operation(each, document_)))));
  open_();
}

function operation({ path, method, of, id }, document_) {
  const body = of.requestBody?.content?.["application/json"];
  const box = el("details", { class: "operation", id },
    el("summary", {}, el("span", { class: `verb ${method}` }, method), el("code", {}, path), el("span", { class: "says" }, of.summary || "")));
  let drawn = false;
  box.addEventListener("toggle", () => { // fields are drawn when they are asked for: there are thousands
    if (!box.open || drawn) return;
    drawn = true;
    box.append(
      ...(of.description && of.description !== of.summary ? [el("p", {}, of.description)] : []),
      ...parameters(of.parameters || [], document_),
      ...(body ? [el("h3", {}, "Body"), ...schemaView(body.schema, document_)] : []),
      el("h3", {}, "Answers"), el("dl", {}, answers(of.responses, document_)),
      el("h3", {}, "As a command"), command(path, method, of, document_));
  });
  return box;
}

function parameters(list, document_) {
  if (!list.length) return [];
  return [el("h3", {}, "Parameters"), el("dl", {}, list.map((one) => el("div", { class: "field-row" },
    el("dt", {}, el("code", {}, one.name), one.required && el("span", { class: "required" }, "required")),
    el("dd", {}, el("span", { class: "type" }, `${typeOf(one.schema, document_)}, in the ${one.in}`),
      (one.description || one.schema?.description) && el("p", { class: "note" }, one.description || one.schema.description)))))];
}

/** Return the answers of an operation; errors of one form stand together, with what each status means. */
function answers(responses, document_) {
  const forms = new Map();
  for (const [status, given] of Object.entries(responses)) {
    const answer = resolved(given, document_);
    const [type, content] = Object.entries(answer.content || {})[0] ?? ["", {}];
    const form = status < "400" ? status : `${type} ${JSON.stringify(content.schema)}`;
    if (!forms.has(form)) forms.set(form, { type, schema: content.schema, list: [] });
    forms.get(form).list.push([status, answer.description]);
  }
  return [...forms.values()].map(({ type, schema, list }) => {
    const shown = schema ? schemaView(schema, document_) : [];
    const [[status, description]] = list;
    const said = list.length === 1 ? description
      : el("ul", {}, list.map(([each, meaning]) => el("li", {}, el("code", {}, each), ` ${meaning}`)));
    return el("div", { class: "field-row" }, el("dt", {}, list.length === 1 ? status : "errors"),
      el("dd", {}, said, type && el("span", { class: "note" }, ` ${type}`),
        shown.length ? el("details", {}, el("summary", {}, "its fields"), shown) : null));
  });
}

/** Return a command with the examples of the body and of the path; what has none is written in capitals. */
function command(path, method, of, document_) {
  const body = of.requestBody?.content?.["application/json"];
  const example = body && (Object.values(body.examples || {})[0]?.value ?? body.example ?? exampleOf(body.schema, document_));
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => {
    const one = (of.parameters || []).map((each) => resolved(each, document_)).find((each) => each.name === name);
    const schema = resolved(one?.schema, document_);
    return one?.example ?? schema.examples?.[0] ?? schema.enum?.[0] ?? name.toUpperCase();
  });
  const text = curlLine(filled.slice(1), example, method.toUpperCase());
  return el("div", {}, el("pre", { tabindex: "0" }, el("code", {}, text)), copyButton("Copy", () => text));
}

/** Open the operation that the address names. */
function open_() {
  const box = location.hash.length > 1 && byId(location.hash.slice(1));
  if (!box || box.tagName !== "DETAILS") return;
  box.open = true;
  box.scrollIntoView();
  box.querySelector("summary").focus({ preventScroll: true });
}

whenKeyIsGiven(load);
window.addEventListener("hashchange", open_);
load();
