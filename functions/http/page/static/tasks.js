// What each task is on this page: its fields, examples, request, and how its result is shown.
import {
  ASKED, BEGINNINGS, CHOICES, FEELINGS, LABELLED, MASKED, MATRIX, NAMES, NEWS, QUESTIONS, SENTENCES, SHOP, SUPPORT,
} from "./sentences.js";
import { linesOf } from "./lines.js";
import { showChoices, showEntities, showGenerated, showLabels, showMasks, showRanking, showSimilar, showSpans, showZeroShot } from "./results.js";
import { showMatrix, showNeighbours } from "./vectors.js";

const text = (label = "Text", more = {}) => ({ name: "text", label, kind: "text", rows: 3, required: true, ...more });
const lines = (name, label, rows = 5) => ({ name, label, kind: "lines", rows, required: true, note: "One a line." });
const number = (name, label, usual, most) => ({ name, label, kind: "number", usual, least: 1, most });

// Names are whole words where a script has spaces. Elsewhere a sentence would be one word, so tokens of one tag are joined.
const UNSPACED = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmr}\p{sc=Mymr}\p{sc=Tibt}]/u;

/** Every view: `task` is the route that it calls. A model offers a view if it has a head for that task. */
export const VIEWS = [
  {
    id: "text-classification", task: "text-classification", name: "Classification",
    says: "Gives a text a label: its topic, its language, its mood, whatever the head was trained for.",
    fields: [text(), number("top_k", "Labels to show", 5, 50)],
    examples: (head) => (head.labels.some((label) => /^(positive|negative)$/i.test(label)) ? FEELINGS : NEWS),
    body: (v) => ({ inputs: v.text, parameters: { top_k: v.top_k } }), show: showLabels,
  },
  {
    id: "token-classification", task: "token-classification", name: "Entities",
    says: "Finds the names in a text: people, places, organizations.",
    fields: [text()], examples: NAMES,
    body: (v) => ({ inputs: v.text, parameters: { aggregation_strategy: UNSPACED.test(v.text) ? "simple" : "first" } }), show: showEntities,
  },
  {
    id: "question-answering", task: "question-answering", name: "Questions",
    says: "Answers a question with words of a text. Question and text may be in two languages.",
    fields: [{ name: "question", label: "Question", kind: "short", required: true },
      { ...text("Text to find the answer in"), name: "context", rows: 5 }, number("top_k", "Answers to show", 3, 20)],
    examples: QUESTIONS,
    body: (v) => ({ inputs: { question: v.question, context: v.context }, parameters: { top_k: v.top_k } }), show: showSpans,
  },
  {
    id: "multiple-choice", task: "multiple-choice", name: "Choices",
    says: "Says which of several ends goes with a beginning.",
    fields: [{ ...text("Beginning"), rows: 2 }, lines("choices", "Choices", 4)], examples: CHOICES,
    body: (v) => ({ inputs: { text: v.text, choices: linesOf(v.choices) } }), show: showChoices,
  },
  {
    id: "zero-shot-classification", task: "zero-shot-classification", name: "Your own labels",
    says: "Chooses between labels that you name, without any training.",
    fields: [text(), { name: "labels", label: "Labels, with commas between", kind: "short", required: true },
      { name: "template", label: "Sentence around a label", kind: "short", note: "With {} where the label goes. Empty: “This example is {}.”" },
      { name: "multi", label: "Several labels may fit", kind: "check" }],
    examples: LABELLED,
    body: (v) => ({ inputs: v.text, parameters: {
      candidate_labels: v.labels.split(",").map((label) => label.trim()).filter(Boolean),
      ...(v.template.trim() ? { hypothesis_template: v.template.trim() } : {}), multi_label: v.multi } }),
    show: showZeroShot,
  },
  {
    id: "fill-mask", task: "fill-mask", name: "Fill in",
    says: "Finds the words that fit into a gap. Write ____ where the gap is.",
    fields: [text("Text with a gap", { rows: 3, note: "____ becomes the mask of the model." }), number("top_k", "Words to show", 6, 50)],
    examples: MASKED,
    body: (v, model) => ({ inputs: v.text.replace(/_{2,}/g, model.mask_token || "<mask>"), parameters: { top_k: v.top_k } }),
    show: showMasks,
  },
  {
    id: "text-generation", task: "text-generation", name: "Continue",
    says: "Continues a text, token by token.",
    fields: [text("Beginning", { rows: 3 }), number("max_new_tokens", "New tokens", 30, 200)], examples: BEGINNINGS,
    body: (v) => ({ inputs: v.text, parameters: { max_new_tokens: v.max_new_tokens } }), show: showGenerated,
  },
  {
    id: "neighbours", task: "feature-extraction", name: "Neighbours", jobName: "Vectors",
    says: `Puts ${SENTENCES.length} sentences of many languages in the order of how close their vectors are to yours. ` +
      "The vectors come from the API, and your browser compares them.",
    fields: [text("A sentence in any language", { rows: 2 })], examples: ASKED,
    body: (v) => ({ inputs: [v.text, ...SENTENCES.map(([, sentence]) => sentence)] }), show: showNeighbours,
  },
  {
    id: "matrix", task: "feature-extraction", name: "Similarity matrix",
    says: "Compares each sentence with every other by the cosine of their vectors.",
    fields: [lines("texts", "Sentences", 9)], examples: MATRIX,
    body: (v) => ({ inputs: linesOf(v.texts) }), show: showMatrix,
  },
  {
    id: "sentence-similarity", task: "sentence-similarity", name: "Similarity",
    says: "Says how close each sentence is to a first one, whatever languages they are in.",
    fields: [{ name: "source", label: "First sentence", kind: "short", required: true }, lines("sentences", "Sentences")],
    examples: SUPPORT,
    body: (v) => ({ inputs: { source_sentence: v.source, sentences: linesOf(v.sentences) } }), show: showSimilar,
  },
  {
    id: "rerank", task: "rerank", name: "Ranking",
    says: "Puts documents in the order of how well they answer a query.",
    fields: [{ name: "query", label: "Query", kind: "short", required: true }, lines("documents", "Documents")], examples: SHOP,
    body: (v) => ({ inputs: { query: v.query, documents: linesOf(v.documents) } }), show: showRanking,
  },
];

/** Return the view of a task that this page does not know: JSON in, JSON out. */
export function plainView(task) {
  return {
    id: task, task, name: task, says: "This page has no picture of this task: it takes and shows JSON.",
    fields: [{ name: "inputs", label: "inputs, as JSON", kind: "json", rows: 5, required: true },
      { name: "parameters", label: "parameters, as JSON", kind: "json", rows: 2 }],
    examples: [], show: null,
    body: (v) => ({ inputs: JSON.parse(v.inputs), ...(v.parameters.trim() ? { parameters: JSON.parse(v.parameters) } : {}) }),
  };
}
