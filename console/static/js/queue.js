// All hits of this run: open ones to be decided, confirmed ones to be finished.

import { command } from "./api.js";
import { all, data, make, one, setAttribute, setList, setText, show } from "./dom.js";
import { isOpen, isVerified } from "./hit.js";
import { age, known, t } from "./texts.js";

let outcomeOf = null;

export function startQueue() {
  const sheet = one("#outcome-sheet");
  all("[data-outcome]", sheet).forEach((button) => button.addEventListener("click", async () => {
    const answer = await command("outcome", { hit_id: outcomeOf, code: button.dataset.outcome });
    if (answer.ok) show(sheet, false);
  }));
  one("[data-close]", sheet).addEventListener("click", () => show(sheet, false));
}

function stateOf(hit) {
  return isOpen(hit) && isVerified(hit) ? "verified" : hit.state;
}

function build(onOpen, onIncident) {
  const open = make("button", { type: "button" }, data("span", "", { class: "plate" }), make("span", { class: "state" }), data("span", "", { class: "more" }));
  const incident = make("button", { type: "button" }, t("queue.incident"));
  const outcome = make("button", { type: "button" }, t("queue.outcome"));
  const item = make("li", {}, open, make("div", { class: "acts" }, incident, outcome));
  incident.addEventListener("click", () => onIncident(item.dataset.key));
  open.addEventListener("click", () => onOpen(item.dataset.key));
  outcome.addEventListener("click", () => {
    outcomeOf = item.dataset.key;
    show(one("#outcome-sheet"), true);
    one("#outcome-sheet button").focus();
  });
  return item;
}

export function drawQueue(hits, nowUs, onOpen, onIncident) {
  setList(one("#hits"), hits, (hit) => hit.hit_id, () => build(onOpen, onIncident), (item, hit) => {
    const state = stateOf(hit);
    setAttribute(item, "data-state", state);
    setText(one(".plate", item), hit.text);
    setText(one(".state", item), known(`queue.${state}`, state));
    setText(one(".more", item), [hit.listed.reason, hit.mono_us && age((nowUs - hit.mono_us) / 1e6)].filter(Boolean).join(" · "));
    show(item.children[1], hit.state === "confirmed");
  });
  show(one("#no-hits"), hits.length === 0);
  const open = hits.filter(isOpen).length;
  setText(one("#open-hits"), String(open));
  show(one("#open-hits"), open > 0);
}
