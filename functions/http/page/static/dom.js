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

/** Return a part of one for people: 0.941 as "94.1 %"; what is above 0 is never written as 0. */
export function percent(score) {
  return score > 0 && score < 0.0005 ? "< 0.1 %" : `${(score * 100).toFixed(1)} %`;
}

/** Return a count with its noun: "1 token", "2 tokens". */
export function count(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}

/** Return milliseconds for people: with three digits or so, and hours where there are that many. */
export function duration(ms) {
  const s = ms / 1000;
  if (ms < 999.5) return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
  if (s < 120) return `${s < 10 ? s.toFixed(2) : Math.round(s)} s`;
  return s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`;
}

/** Return a button that copies what `text` returns, and says that it has, to people who cannot see it too. */
export function copyButton(label, text) {
  const button = el("button", { type: "button", class: "quiet" }, label);
  const heard = el("span", { class: "heard", role: "status" });
  button.addEventListener("click", async () => {
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      said = "Select it and copy by hand";
    }
    button.textContent = heard.textContent = said;
    setTimeout(() => {
      button.textContent = label;
      heard.textContent = "";
    }, 1600);
  });
  return el("span", { class: "copy" }, button, heard);
}

/**
 * Return tabs that arrow keys move through, as people of screen readers know them. `panels`: [name, make]. `chosen` is
 * the name of the first one to show, and `noted` is called with the name of each one that is chosen.
 */
export function tabs(label, panels, chosen, noted) {
  const id = `tabs-${tabs.next = (tabs.next || 0) + 1}`;
  const panel = el("div", { role: "tabpanel", id: `${id}-panel`, class: "panel" });
  const buttons = panels.map(([name], i) => el("button", {
    type: "button", role: "tab", id: `${id}-${i}`, "aria-controls": `${id}-panel`, onclick: () => take(i),
  }, name));
  const list = el("div", { role: "tablist", "aria-label": label, class: "tabs" }, buttons);
  let now = 0;
  function take(i) {
    choose(i);
    noted(panels[i][0]);
  }
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
    take(to);
    buttons[to].focus();
  });
  choose(Math.max(0, panels.findIndex(([name]) => name === chosen)));
  return el("div", { class: "tabbed" }, list, panel);
}
