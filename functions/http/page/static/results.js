// Shows the result of each task. Every text of a model or a caller becomes a text node.
import { count, el, percent, words } from "./dom.js";
import { linesOf } from "./lines.js";

const TONES = 6; // colours of entities in page.css
const KNOWN_TONES = { PER: 0, PERSON: 0, LOC: 1, LOCATION: 1, GPE: 1, ORG: 2, ORGANIZATION: 2, MISC: 3, DATE: 4 };

/** Return a list of names with bars. `rows`: [name, part from 0 to 1, figure, note, language of the name]. */
export function bars(rows, label) {
  return el("ol", { class: "bars", "aria-label": label }, rows.map(([name, part, figure, note, lang]) => el("li", {},
    el("span", { class: "name" }, words(name, { lang }), note && el("small", {}, " ", words(note))),
    el("span", { class: "figure" }, figure),
    el("span", { class: "track", "aria-hidden": "true" },
      el("span", { class: "fill", vars: { "--part": Math.max(0, Math.min(1, part)) } })))));
}

/** Return a paragraph of somebody's text, in its own direction. */
export function reading(...children) {
  return el("p", { class: "reading", dir: "auto" }, ...children);
}

export function nothing(said) {
  return el("p", { class: "card empty" }, said);
}

/** Return the name of a language for codes such as `ell_Grek`, else "". */
function languageOf(label) {
  const match = /^([a-z]{2,3})[_-]([A-Z][a-z]{3})$/.exec(label);
  if (!match) return "";
  try {
    const named = new Intl.DisplayNames("en", { type: "language", fallback: "none" }).of(match[1]);
    const script = new Intl.DisplayNames("en", { type: "script", fallback: "none" }).of(match[2]);
    return [named, script].filter(Boolean).join(", ");
  } catch {
    return "";
  }
}

export function showLabels([labels]) {
  return bars(labels.map(({ label, score }) => [label, score, percent(score), languageOf(label)]), "Labels, best first");
}

export function showZeroShot([{ labels, scores }]) {
  return bars(labels.map((label, i) => [label, scores[i], percent(scores[i])]), "Labels, best first");
}

export function showChoices([choices]) {
  return bars(choices.map(({ choice, score }) => [choice, score, percent(score)]), "Choices, best first");
}

/** Offsets count code points; texts of JavaScript count others. So the text is cut as an array of code points. */
function marked(text, spans) {
  const points = Array.from(text);
  const parts = [];
  let at = 0;
  for (const { start, end, tone, tag } of spans) {
    if (start < at) continue;
    parts.push(points.slice(at, start).join(""));
    parts.push(el("mark", { class: `tone-${tone}` }, points.slice(start, end).join(""),
      tag && el("span", { class: "tag", dir: "ltr" }, tag)));
    at = end;
  }
  parts.push(points.slice(at).join(""));
  return reading(...parts);
}

export function showEntities([entities], { values }) {
  if (!entities.length) return [reading(values.text), nothing("No names found in this text.")];
  const groups = [...new Set(entities.map((entity) => entity.entity_group ?? entity.entity))];
  const others = groups.filter((group) => !(group in KNOWN_TONES));
  const tone = (group) => KNOWN_TONES[group] ?? (5 + others.indexOf(group)) % TONES;
  const spans = entities.map((entity) => {
    const group = entity.entity_group ?? entity.entity;
    return { ...entity, tag: group, tone: tone(group) };
  });
  const points = Array.from(values.text);
  return [
    marked(values.text, spans),
    table(["Name", "Kind", "Score", "Characters"], spans.map((span) => [
      words(points.slice(span.start, span.end).join("")), span.tag, percent(span.score), `${span.start}–${span.end}`]), "Names found"),
  ];
}

export function showSpans([found], { values }) {
  const answers = (Array.isArray(found) ? found : [found]).filter(({ answer }) => answer);
  if (!answers.length) return [reading(values.context), nothing("No answer in this text.")];
  const free = [];
  for (const one of answers) { // best first; a span that overlaps a better one is only in the list
    if (free.every((other) => one.end <= other.start || other.end <= one.start)) free.push(one);
  }
  const spans = free.map((one) => ({ ...one, tone: one === answers[0] ? 0 : 6, tag: percent(one.score) }));
  return [
    el("p", { class: "answer", dir: "auto" }, answers[0].answer),
    marked(values.context, spans.sort((a, b) => a.start - b.start)),
    bars(answers.map(({ answer, score }) => [answer, score, percent(score)]), "Answers, best first"),
  ];
}

export function showMasks([guesses]) {
  const masks = Array.isArray(guesses[0]) ? guesses : [guesses];
  return masks.map((list, i) => [
    masks.length > 1 && el("h3", {}, `Gap ${i + 1}`),
    masks.length === 1 && list[0] && reading(list[0].sequence),
    bars(list.map(({ token_str: word, score }) => [word || "(nothing)", score, percent(score)]), `Words for gap ${i + 1}, best first`),
  ]);
}

export function showGenerated([sequences]) {
  return sequences.map(({ generated_text: whole }) => reading(whole));
}

export function showSimilar([scores], { values }) {
  const sentences = linesOf(values.sentences);
  const rows = scores.map((score, i) => [sentences[i], score, score.toFixed(3)]);
  return bars(rows.sort((a, b) => b[1] - a[1]), "Sentences, closest first");
}

export function showRanking([ranked], { values }) {
  const documents = linesOf(values.documents);
  return bars(ranked.map(({ index, score }) => [documents[index], score, score.toFixed(3), `document ${index + 1}`]),
    "Documents, best first");
}

/** Return a table that scrolls on its own where it is too wide. */
export function table(heads, rows, caption) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {}, el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell) => el("td", {}, cell)))))));
}

/** Return what the answer says of its work: tokens, windows, and how long each stage took. */
export function facts({ body, took_ms: took, timings }) {
  const usage = body.usage;
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const said = [`${body.model}:${body.head}`];
  if (usage) {
    said.push(count(sum(usage.n_tokens), "token"), count(sum(usage.n_windows), "window"));
    if (usage.truncated.some(Boolean)) said.push("cut at the end");
  }
  const stages = Object.entries(body.timings_ms ?? timings).filter(([name]) => name !== "total");
  const whole = Math.max(took, sum(stages.map(([, ms]) => ms)));
  const all = [...stages, ["way there and back", Math.max(0, took - sum(stages.map(([, ms]) => ms)))]];
  return [el("p", { class: "note", id: "usage" }, said.join(" · ")), stageBar(all, whole)];
}

function stageBar(stages, whole_ms) {
  return el("figure", { class: "stages" },
    el("figcaption", {}, "Where the time went"),
    el("div", { class: "stack", "aria-hidden": "true" }, stages.map(([, ms], i) =>
      el("span", { class: `stage-${i % 6}`, vars: { "--part": ms / whole_ms } }))),
    el("dl", {}, stages.map(([name, ms], i) => el("div", {},
      el("dt", {}, el("i", { class: `stage-${i % 6}`, "aria-hidden": "true" }), name),
      el("dd", {}, `${ms.toFixed(ms < 10 ? 2 : 0)} ms`)))));
}
