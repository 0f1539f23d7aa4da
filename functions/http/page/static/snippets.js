// Writes the request of the form as a curl line and as Python.
import { BASE, hasKey } from "./api.js";

const KEY = "GLOSSA_API_KEY";
const DIGITS = 6; // the seventh of a float32 is already rounded

/** Return a command for a shell. Without a body, `method` says what is done. */
export function curlLine(path, body, method = "POST") {
  const parts = [`curl ${{ GET: "", POST: body === undefined ? "-X POST " : "" }[method] ?? `-X ${method} `}"${BASE}${path}"`];
  if (hasKey()) parts.push(`-H "Authorization: Bearer $${KEY}"`);
  if (body !== undefined) {
    const json = JSON.stringify(body, null, 1).replace(/\n\s*/g, " ");
    parts.push("-H 'Content-Type: application/json'", `-d '${json.replaceAll("'", "'\\''")}'`);
  }
  return parts.join(" \\\n  ");
}

/** Return a program for the package `requests`. */
export function pythonLines(path, body) {
  const key = hasKey() ? `\n    headers={"Authorization": "Bearer " + os.environ["${KEY}"]},` : "";
  return `${hasKey() ? "import os\n" : ""}import requests\n\nanswer = requests.post(\n    "${BASE}${path}",${key}\n` +
    `    json=${python(body, 4)},\n    timeout=30,\n)\nanswer.raise_for_status()\nprint(answer.json()["results"])`;
}

/** Return a program for the client of OpenAI or Cohere, for the tasks that these have; else null. */
export function clientLines(task, body) {
  const key = hasKey() ? `os.environ["${KEY}"]` : '"none"';
  const start = hasKey() ? "import os\n" : "";
  const openai = `${start}from openai import OpenAI\n\nclient = OpenAI(base_url="${BASE}v1", api_key=${key})\n`;
  if (task === "feature-extraction") {
    return ["openai", `${openai}answer = client.embeddings.create(\n    model=${python(body.model)},\n` +
      `    input=${python(body.inputs, 4)},\n)\nprint(answer.data[0].embedding)`];
  }
  if (task === "text-generation") {
    return ["openai", `${openai}answer = client.completions.create(\n    model=${python(body.model)},\n` +
      `    prompt=${python(body.inputs)},\n    max_tokens=${python(body.parameters.max_new_tokens)},\n)\nprint(answer.choices[0].text)`];
  }
  if (task === "rerank") {
    return ["cohere", `${start}import cohere\n\nclient = cohere.ClientV2(base_url="${BASE.replace(/\/$/, "")}", api_key=${key})\n` +
      `answer = client.rerank(\n    model=${python(body.model)},\n    query=${python(body.inputs.query)},\n` +
      `    documents=${python(body.inputs.documents, 4)},\n)\nprint(answer.results)`];
  }
  return null;
}

/** Return a value as Python writes it. `indent` is that of the line on which it begins. */
export function python(value, indent = 0) {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  const parts = Array.isArray(value) ? value.map((each) => python(each, indent + 4))
    : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${python(each, indent + 4)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const line = `${open}${parts.join(", ")}${close}`;
  if (line.length < 72 && !line.includes("\n")) return line;
  const space = " ".repeat(indent + 4);
  return `${open}\n${parts.map((part) => `${space}${part},\n`).join("")}${" ".repeat(indent)}${close}`;
}

/** Return JSON for people: long lists of numbers are cut and say so, and other numbers have six digits. */
export function shortJson(value, indent = 2) {
  const cut = (each) => {
    if (typeof each === "number") return Number.isInteger(each) ? each : Number(each.toPrecision(DIGITS));
    if (Array.isArray(each)) {
      const numbers = each.length > 12 && each.every((one) => typeof one === "number");
      return numbers ? [...each.slice(0, 8).map(cut), `… ${each.length - 8} more numbers`] : each.map(cut);
    }
    return each && typeof each === "object" ? Object.fromEntries(Object.entries(each).map(([k, v]) => [k, cut(v)])) : each;
  };
  // a list of numbers stands on one line
  return JSON.stringify(cut(value), null, indent).replace(/\[\n\s+-?\d[^[\]{}]*?\]/g, (list) => list.replace(/\s*\n\s*/g, " "));
}
