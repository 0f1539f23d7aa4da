// Compares vectors in the browser: a matrix of sentences, and the neighbours of one sentence.
import { el, words } from "./dom.js";
import { linesOf } from "./lines.js";
import { bars, nothing } from "./results.js";
import { codeOf, SENTENCES } from "./sentences.js";

const SHOWN = 12;

function cosine(a, b) {
  let dot = 0;
  let ofA = 0;
  let ofB = 0;
  for (let i = 0; i < a.length; i += 1) {
    dot += a[i] * b[i];
    ofA += a[i] * a[i];
    ofB += b[i] * b[i];
  }
  return dot / (Math.sqrt(ofA * ofB) || 1);
}

/** Return vectors as lists of numbers, or null where a head answers with something else, such as weights of tokens. */
function vectorsOf(results) {
  return results.every((each) => Array.isArray(each) && typeof each[0] === "number") ? results : null;
}

export function showNeighbours(results) {
  const vectors = vectorsOf(results);
  if (!vectors) return showWeights(results);
  const [asked, ...others] = vectors;
  const rows = others.map((vector, i) => {
    const score = cosine(asked, vector);
    const [language, sentence] = SENTENCES[i];
    return [sentence, score, score.toFixed(3), language, codeOf(language)];
  }).sort((a, b) => b[1] - a[1]);
  return [el("p", { class: "note" }, `The ${SHOWN} closest of ${rows.length}, by cosine. Vectors of ${asked.length} numbers.`),
    bars(rows.slice(0, SHOWN), "Sentences, closest first")];
}

export function showMatrix(results, { values }) {
  const vectors = vectorsOf(results);
  if (!vectors) return showWeights(results);
  const sentences = linesOf(values.texts);
  const head = el("tr", {}, el("td", {}), sentences.map((_, i) => el("th", { scope: "col" }, String(i + 1))));
  const rows = vectors.map((one, i) => el("tr", {},
    el("th", { scope: "row" }, el("span", { class: "number" }, String(i + 1)), words(sentences[i], { class: "sentence" })),
    vectors.map((other) => {
      const score = cosine(one, other);
      return el("td", { class: "cell", vars: { "--part": Math.max(0, score) } }, score.toFixed(2));
    })));
  return [
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Similarity matrix" },
      el("table", { class: "matrix" }, el("thead", {}, head), el("tbody", {}, rows))),
    el("p", { class: "note" }, `Cosines, from −1 to 1. Vectors of ${vectors[0].length} numbers.`),
  ];
}

/** A sparse head gives each token a weight. */
function showWeights(results) {
  if (!Array.isArray(results[0]) || results[0][0]?.weight === undefined) {
    return nothing("This head answers in a form that this page has no picture of; the JSON is beside.");
  }
  const heaviest = Math.max(...results[0].map(({ weight }) => weight));
  return bars(results[0].slice(0, SHOWN).map(({ token, weight }) => [token, weight / heaviest, weight.toFixed(3)]),
    "Tokens of the first text, heaviest first");
}
