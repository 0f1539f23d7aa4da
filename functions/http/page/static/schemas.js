// Writes a JSON schema of the OpenAPI document for people: names, types, bounds and words.
import { el } from "./dom.js";

const DEEPEST = 5;

/** Return what a `$ref` of the document leads to, or the value itself. */
export function resolved(value, document) {
  if (!value?.$ref) return value ?? {};
  return value.$ref.slice(2).split("/").reduce((at, name) => at?.[name], document) ?? {};
}

/** Return the schema that a `$ref` leads to, with its name. */
function followed(schema, document) {
  return { schema: resolved(schema, document), name: schema?.$ref?.split("/").pop() ?? schema?.title ?? "" };
}

/** Return the type of a schema in a few words. */
export function typeOf(given, document, depth = 0) {
  const { schema } = followed(given, document);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const choices = schema.anyOf || schema.oneOf;
  if (choices) return [...new Set(choices.map((each) => typeOf(each, document, depth + 1)))].join(" or ");
  if (schema.type === "array") return `list of ${depth > 3 ? "…" : typeOf(schema.prefixItems?.[0] ?? schema.items ?? {}, document, depth + 1)}`;
  if (schema.type === "object" || schema.properties) return "object";
  if (schema.type === "null") return "null";
  return { string: "text", integer: "integer", number: "number", boolean: "true or false" }[schema.type] || "anything";
}

function bounds(schema) {
  const said = [
    schema.minLength && `at least ${schema.minLength} characters`, schema.maxLength && `at most ${schema.maxLength.toLocaleString("en")} characters`,
    schema.minItems && `at least ${schema.minItems}`, schema.maxItems && `at most ${schema.maxItems.toLocaleString("en")} of them`,
    schema.minimum !== undefined && `from ${schema.minimum}`, schema.exclusiveMinimum !== undefined && `above ${schema.exclusiveMinimum}`,
    schema.maximum !== undefined && `to ${schema.maximum.toLocaleString("en")}`,
  ];
  return said.filter(Boolean).join(", ");
}

/** Return the objects that a schema may be: itself, those of a choice, or those in a list. */
function objects(given, document, seen = new Set()) {
  const { schema, name } = followed(given, document);
  if (name && seen.has(name)) return [];
  const inner = new Set(seen).add(name);
  if (schema.properties) return [{ schema, name }];
  return [...(schema.anyOf || schema.oneOf || schema.allOf || []), ...(schema.items ? [schema.items] : [])]
    .flatMap((each) => objects(each, document, inner));
}

/** Return what stands for a schema: each object that it may be, with its fields. */
export function schemaView(given, document, depth = 0, seen = new Set()) {
  const found = objects(given, document).filter(({ name }) => !seen.has(name));
  if (!found.length) return depth ? [] : [el("p", {}, typeOf(given, document))];
  return found.map(({ schema, name }) => el("div", { class: "schema" },
    found.length > 1 || depth ? el("p", { class: "schema-name" }, name) : null,
    depth === 0 && schema.description && el("p", { class: "note" }, schema.description),
    el("dl", {}, Object.entries(schema.properties).map(([field, of]) =>
      fieldView(field, of, (schema.required || []).includes(field), { document, depth, seen: new Set(seen).add(name) })))));
}

function fieldView(name, given, required, { document, depth, seen }) {
  const { schema } = followed(given, document);
  const parts = given.anyOf || given.oneOf || [given];
  const limits = [...new Set(parts.map((part) => bounds(followed(part, document).schema)).filter(Boolean))].join("; ");
  const said = given.description || (schema.properties ? "" : schema.description) || "";
  const inner = depth < DEEPEST ? schemaView(given, document, depth + 1, seen) : [];
  const usual = schema.default !== undefined && schema.default !== null ? `usually ${JSON.stringify(schema.default)}` : "";
  return el("div", { class: "field-row" },
    el("dt", {}, el("code", {}, name), required && el("span", { class: "required" }, "required")),
    el("dd", {}, el("span", { class: "type" }, typeOf(given, document)),
      [limits, usual].filter(Boolean).length ? el("span", { class: "note" }, ` ${[limits, usual].filter(Boolean).join("; ")}`) : null,
      said && el("p", { class: "note" }, said),
      inner.length ? el("details", {}, el("summary", {}, "its fields"), inner) : null));
}

/** Return an example of a schema: the one that it names, else the smallest value that fits. */
export function exampleOf(given, document, depth = 0) {
  const { schema } = followed(given, document);
  if (given?.example !== undefined) return given.example;
  if (schema.example !== undefined) return schema.example;
  if (schema.examples?.length) return schema.examples[0];
  if (schema.default !== undefined && schema.default !== null) return schema.default;
  if (schema.enum) return schema.enum[0];
  const choices = (schema.anyOf || schema.oneOf || []).filter((each) => each.type !== "null");
  if (choices.length) return exampleOf(choices[0], document, depth + 1);
  if (schema.properties && depth < DEEPEST) {
    const wanted = Object.keys(schema.properties).filter((name) => (schema.required || []).includes(name));
    return Object.fromEntries(wanted.map((name) => [name, exampleOf(schema.properties[name], document, depth + 1)]));
  }
  if (schema.type === "array") return [exampleOf(schema.items ?? {}, document, depth + 1)];
  return { string: "…", integer: schema.minimum ?? 1, number: schema.minimum ?? 0.5, boolean: true }[schema.type] ?? {};
}
