// Says what went wrong, and what to do about it: one card for each kind of error.
import { el } from "./dom.js";
import { hasKey } from "./api.js";

const TITLES = {
  0: "No answer", 400: "The request cannot be read", 401: "This API asks for a key", 403: "This caller may not do that",
  404: "Not found", 405: "Not possible", 408: "It took too long", 409: "Not now", 413: "Too much for one request",
  415: "The request cannot be read", 422: "Something in the request does not fit", 429: "Busy",
  500: "The service failed", 502: "The model server failed", 503: "Not ready", 504: "It took too long",
};

/** Return the card of an error. `again` is called by its button, if trying again may help. */
export function problemCard(problem, again) {
  const { status, body } = problem;
  const hint = advice(problem);
  const facts = [status ? `HTTP ${status}` : null, body?.code, problem.requestId ? `request ${problem.requestId}` : null];
  const retry = again && (body?.retryable || status === 0 || status === 429 || status >= 500);
  const title = body?.ours ? body.title : TITLES[status] || body?.title || "An error";
  const card = el("div", { class: "card problem", role: "alert" },
    el("h3", {}, title),
    el("p", { dir: "auto" }, problem.message),
    hint && el("p", { class: "hint" }, hint),
    retry && el("p", {}, el("button", { type: "button", onclick: () => tryAgain(card, again) }, "Try again")),
    el("p", { class: "note" }, facts.filter(Boolean).join(" · ")));
  return card;
}

/** The card goes away with its button, so the focus goes to the place where the answer will be. */
function tryAgain(card, again) {
  const place = card.parentElement;
  if (place) {
    place.tabIndex = -1;
    place.focus({ preventScroll: true });
  }
  again();
}

function advice({ status, body, retryAfter_s: wait_s }) {
  if (!body?.ours && status === 401) {
    return hasKey() ? "The key above was refused: it may be mistyped, revoked or expired."
      : "Open “API key” at the top, and paste a key or a token.";
  }
  if (!body?.ours && status === 403 && !hasKey()) {
    return "If this API takes signed requests alone (Auth=iam), a browser cannot call it: its stack takes keys with Auth=key.";
  }
  const hint = body?.hint ? `${body.hint[0].toUpperCase()}${body.hint.slice(1)}.` : "";
  return wait_s ? `${hint} Try again in ${Math.ceil(wait_s)} s.`.trim() : hint;
}
