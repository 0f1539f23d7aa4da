// The request of the form in code, and the last answer, beside the form.
import { byId, copyButton, count, el, tabs } from "./dom.js";
import { clientLines, curlLine, pythonLines, shortJson } from "./snippets.js";

let tabChosen = ""; // its name, so that it stays chosen when the form changes

/** Show a request in code. `body` is null where there is none to show, `answer` where there was none. */
export function showCode(task, body, answer) {
  const place = byId("beside");
  place.hidden = !body;
  if (!body) return;
  const path = `v1/${task}`;
  const client = clientLines(task, body);
  const code = (text, full = text) => [el("pre", { tabindex: "0" }, el("code", {}, text)), copyButton("Copy", () => full)];
  const panels = [
    ["curl", () => code(curlLine(path, body))],
    ["Python", () => code(pythonLines(path, body))],
    ...(client ? [[client[0], () => code(client[1])]] : []),
    ...(answer ? [["JSON", () => [...code(shortJson(answer.body), JSON.stringify(answer.body, null, 2)), cutNote(answer)]]] : []),
  ];
  const hadFocus = place.contains(document.activeElement);
  const made = tabs("The request in code", panels, tabChosen, (name) => { tabChosen = name; });
  place.replaceChildren(el("h2", {}, "The request in code"), made);
  if (hadFocus) made.querySelector('[aria-selected="true"]').focus();
}

function cutNote({ n_bytes: n }) {
  const whole = n ? `The answer has ${count(n, "byte")}. ` : "";
  return el("p", { class: "note" }, `${whole}Long lists and long numbers are cut here. Copy takes all.`);
}
