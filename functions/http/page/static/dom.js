// Makes elements of text. Nothing here, or in any module beside it, makes markup of a text.

/** Return an element. Children that are strings become text nodes; null and false are left out. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "vars") for (const [key, number] of Object.entries(value)) made.style.setProperty(key, number);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Return an element of the page by its id. */
export function byId(id) {
  return document.getElementById(id);
}

/** Return text of a caller or a model: its own direction, whatever stands around it. */
export function words(text, attributes = {}) {
  return el("bdi", { dir: "auto", ...attributes }, String(text));
}

/** Return a number for people: 0.941 as "94.1 %". */
export function percent(score) {
  return `${(score * 100).toFixed(1)} %`;
}

/** Return a count with its noun: "1 token", "2 tokens". */
export function count(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

/** Return milliseconds for people. */
export function duration(ms) {
  return ms < 10 ? `${ms.toFixed(1)} ms` : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** Return a button that copies what `text` returns, and says that it has. */
export function copyButton(label, text) {
  const button = el("button", { type: "button", class: "quiet" }, label);
  button.addEventListener("click", async () => {
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      said = "Select it and copy by hand";
    }
    button.textContent = said;
    setTimeout(() => { button.textContent = label; }, 1600);
  });
  return button;
}

/** Return tabs that arrow keys move through, as people of screen readers know them. `panels`: [name, make]. */
export function tabs(label, panels, chosen = 0) {
  const id = `tabs-${tabs.next = (tabs.next || 0) + 1}`;
  const panel = el("div", { role: "tabpanel", id: `${id}-panel`, tabindex: "0", class: "panel" });
  const buttons = panels.map(([name], i) => el("button", {
    type: "button", role: "tab", id: `${id}-${i}`, "aria-controls": `${id}-panel`, onclick: () => choose(i),
  }, name));
  const list = el("div", { role: "tablist", "aria-label": label, class: "tabs" }, buttons);
  let now = Math.min(chosen, panels.length - 1);
  function choose(i) {
    now = i;
    buttons.forEach((button, j) => {
      button.setAttribute("aria-selected", String(i === j));
      button.tabIndex = i === j ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", `${id}-${i}`);
    panel.replaceChildren(...[panels[i][1]()].flat());
  }
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const to = step ? (now + step + buttons.length) % buttons.length : { Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    choose(to);
    buttons[to].focus();
  });
  choose(now);
  return { element: el("div", { class: "tabbed" }, list, panel), chosen: () => now };
}
