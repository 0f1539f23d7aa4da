// The fields of a form: made, filled, and marked where something is wrong with one.
import { byId, el } from "./dom.js";

/** Return a field with its label. What is typed goes into `values`. */
export function input(field, values) {
  const id = `field-${field.name}`;
  const note = field.note ? `${id}-note` : null;
  const many = ["text", "lines", "json"].includes(field.kind);
  const element = el(many ? "textarea" : "input", {
    id, rows: many ? field.rows : null, dir: field.kind === "json" ? "ltr" : "auto", spellcheck: "false", autocomplete: "off",
    type: many ? null : { number: "number", check: "checkbox" }[field.kind] || "text", min: field.least, max: field.most,
    "data-note": note, "aria-required": field.required ? "true" : null,
  });
  fill(element, values[field.name]);
  element.addEventListener("input", () => {
    valid(element);
    element.removeAttribute("lang"); // what is typed may be in any language
    values[field.name] = valueOf(element, field);
  });
  const label = el("label", { for: id }, field.label);
  const box = field.kind === "check" ? el("div", { class: "field check" }, element, label)
    : el("div", { class: `field ${field.kind}` }, label, element, note && el("p", { class: "note", id: note }, field.note));
  return { element, box, field };
}

/** Put a value into a field. The code of its language says how it is drawn and read. */
export function fill(element, value, lang = null) {
  if (element.type === "checkbox") element.checked = value;
  else element.value = value;
  if (lang) element.lang = lang;
  else element.removeAttribute("lang");
  valid(element);
}

/** Take away what `wrong` said of a field. */
function valid(element) {
  element.removeAttribute("aria-invalid");
  if (element.dataset.note) element.setAttribute("aria-describedby", element.dataset.note);
  else element.removeAttribute("aria-describedby");
}

/** Say what is wrong with a field, and lead there. */
export function wrong({ out, status }, field, said) {
  const element = byId(`field-${field.name}`);
  status.textContent = "";
  out.replaceChildren(el("p", { class: "card empty", id: "wrong" }, said));
  element.setAttribute("aria-invalid", "true");
  element.setAttribute("aria-describedby", [element.dataset.note, "wrong"].filter(Boolean).join(" "));
  element.focus();
}

function valueOf(element, field) {
  if (field.kind === "check") return element.checked;
  if (field.kind !== "number") return element.value;
  return Number.isNaN(element.valueAsNumber) ? field.usual : element.valueAsNumber;
}

/** Whether a text is JSON, or empty. */
export function isJson(value) {
  try {
    return value.trim() === "" || JSON.parse(value) !== undefined;
  } catch {
    return false;
  }
}
