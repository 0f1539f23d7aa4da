// The calls of the Node clients: @huggingface/inference, openai, cohere-ai. Prints one line of JSON for each call.
// Must not know how our routes answer.
import { readFileSync } from "node:fs";
import { InferenceClient } from "@huggingface/inference";
import OpenAI from "openai";
import { CohereClient, CohereClientV2 } from "cohere-ai";

const url = process.argv[2].replace(/\/$/, "");
const key = process.argv[3];
const firstAlone = process.argv.includes("--first");
const TEXT = "The river Rhine rises in Switzerland.";
const MASKED = "The river <mask> rises.";
const TEXTS = ["The river rises after the rain.", "Das Wasser steigt."];
const QUESTION = { question: "What rises?", context: "After the rain, the river rises." };
const QUERY = "high water";
const DOCUMENTS = ["The river rises.", "A cat sleeps.", "Das Wasser steigt."];
const TOLERANCE = 1e-5;

const ask = async (path, body) => {
  const headers = { "content-type": "application/json", authorization: `Bearer ${key}` };
  const sent = body ? { method: "POST", body: JSON.stringify(body), headers } : { headers };
  return (await fetch(url + path, sent)).json();
};
const { defaults } = await ask("/v1/models");
class NoModel extends Error {}
const model = (task) => {
  if (!(task in defaults)) throw new NoModel(`no model that is served does ${task}`);
  return defaults[task];
};
const own = async (task, inputs, parameters = {}) =>
  (await ask(`/v1/${task}`, { inputs, parameters, model: model(task) })).results;
const alike = (found, wanted) => {
  if (typeof wanted === "number") return Math.abs(found - wanted) <= TOLERANCE * Math.max(1, Math.abs(wanted));
  if (wanted === null || typeof wanted !== "object") return found === wanted;
  const [a, b] = [Object.keys(found ?? {}), Object.keys(wanted)];
  return a.length === b.length && b.every((name) => alike(found[name], wanted[name]));
};
const versionOf = (name) =>
  JSON.parse(readFileSync(new URL(`./node_modules/${name}/package.json`, import.meta.url))).version;
const done = new Set();
const report = (client) => async (call, task, run, wanted) => {
  if (firstAlone && done.has(client)) return;
  let [state, said] = ["failed", ""];
  try {
    const [found, expected] = [await run(), await wanted()];
    state = alike(found, expected) ? "passed" : "failed";
    if (state === "failed") said = `got ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`;
  } catch (error) {
    state = error instanceof NoModel ? "skipped" : "failed";
    said = `${error.constructor.name}: ${error.message}`;
  }
  const line = { client: `${client} (Node)`, version: versionOf(client), call, task, state, said: said.slice(0, 600) };
  if (state !== "skipped") done.add(client);
  console.log(JSON.stringify(line));
};
const raised = async (run, kind) => {
  try {
    await run();
  } catch (error) {
    return error instanceof kind;
  }
  return false;
};

const hf = (task) => new InferenceClient(key, { endpointUrl: `${url}/hf/${model(task)}` });
const one = async (task, inputs, parameters) => (await own(task, inputs, parameters))[0];
let call = report("@huggingface/inference");
await call("textClassification", "text-classification",
  () => hf("text-classification").textClassification({ inputs: TEXT }),
  () => one("text-classification", TEXT, { top_k: null }));
await call("tokenClassification", "token-classification",
  () => hf("token-classification").tokenClassification({ inputs: TEXT, parameters: { aggregation_strategy: "max" } }),
  () => one("token-classification", TEXT, { aggregation_strategy: "max" }));
await call("fillMask", "fill-mask",
  () => hf("fill-mask").fillMask({ inputs: MASKED }),
  () => one("fill-mask", MASKED));
await call("questionAnswering", "question-answering",
  () => hf("question-answering").questionAnswering({ inputs: QUESTION }),
  () => one("question-answering", QUESTION));
for (const inputs of [TEXT, [TEXT]])
  await call(`zeroShotClassification, ${Array.isArray(inputs) ? "a list" : "a text"}`, "zero-shot-classification",
    () => hf("zero-shot-classification").zeroShotClassification({ inputs, parameters: { candidate_labels: ["a", "b"] } }),
    async () => {
      const found = await one("zero-shot-classification", TEXT, { candidate_labels: ["a", "b"] });
      return found.labels.map((label, i) => ({ label, score: found.scores[i] }));
    });
await call("featureExtraction, normalize", "feature-extraction",
  () => hf("feature-extraction").featureExtraction({ inputs: TEXT, normalize: true }),
  () => one("feature-extraction", TEXT, { normalize: true }));
await call("featureExtraction, a list", "feature-extraction",
  () => hf("feature-extraction").featureExtraction({ inputs: TEXTS }),
  () => own("feature-extraction", TEXTS));
const SENTENCES = { source_sentence: TEXT, sentences: TEXTS };
await call("sentenceSimilarity", "sentence-similarity",
  () => hf("sentence-similarity").sentenceSimilarity({ inputs: SENTENCES }),
  () => one("sentence-similarity", SENTENCES));
await call("textGeneration", "text-generation",
  async () => (await hf("text-generation").textGeneration({ inputs: TEXT, parameters: { max_new_tokens: 4 } })).generated_text,
  async () => (await one("text-generation", TEXT, { max_new_tokens: 4, return_full_text: false }))[0].generated_text);

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const vectors = async (more) =>
  (await openai.embeddings.create({ model: model("feature-extraction"), input: TEXTS, ...more })).data.map((each) => each.embedding);
call = report("openai");
await call("embeddings.create (base64)", "feature-extraction", () => vectors({}),
  () => own("feature-extraction", TEXTS, { normalize: true }));
await call("embeddings.create (float), dimensions", "feature-extraction",
  () => vectors({ encoding_format: "float", dimensions: 2 }),
  () => own("feature-extraction", TEXTS, { normalize: true, dimensions: 2 }));
await call("models.list", "",
  async () => (await openai.models.list()).data.some((each) => each.id === model("feature-extraction").split(":")[0]),
  () => true);
await call("completions.create", "text-generation",
  async () => (await openai.completions.create({ model: model("text-generation"), prompt: TEXT, max_tokens: 4, temperature: 0 })).choices[0].text,
  async () => (await one("text-generation", TEXT, { max_new_tokens: 4, return_full_text: false }))[0].generated_text);
await call("errors: NotFoundError", "feature-extraction",
  () => raised(() => openai.embeddings.create({ model: "nope", input: "a" }), OpenAI.NotFoundError), () => true);

const [first, second] = [CohereClient, CohereClientV2].map((made) => new made({ token: key, environment: url }));
const ranked = async (made) =>
  (await made.rerank({ query: QUERY, documents: DOCUMENTS, model: model("rerank") })).results
    .map((each) => ({ index: each.index, score: each.relevanceScore }));
call = report("cohere-ai");
for (const [name, made] of [["CohereClient", first], ["CohereClientV2", second]])
  await call(`${name}.rerank`, "rerank", () => ranked(made), () => one("rerank", { query: QUERY, documents: DOCUMENTS }));
await call("CohereClient.embed", "feature-extraction",
  async () => (await first.embed({ texts: TEXTS, model: model("feature-extraction"), inputType: "search_document" })).embeddings,
  () => own("feature-extraction", TEXTS, { normalize: true }));
await call("CohereClientV2.embed, int8", "feature-extraction",
  async () => (await second.embed({ texts: TEXTS, model: model("feature-extraction"), inputType: "search_document", embeddingTypes: ["int8"] })).embeddings.int8,
  async () => (await own("feature-extraction", TEXTS, { precision: "int8" })).map((each) => each.vectors));
