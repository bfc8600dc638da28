// One hit, full screen: choose what the picture shows, compare, decide.

import { command } from "./api.js";
import { isFilled, values } from "./forms.js";
import { all, data, make, one, setAttribute, setPicture, setText, show } from "./dom.js";
import { age, known, region, t } from "./texts.js";

const CHECKS = ["characters", "region", "vehicle"];
// Codes of reasons that say which check has failed.
const REASON_OF = { characters: "misread", region: "other_region", vehicle: "other_vehicle" };
const PANELS = ["#hit-blind", "#hit-compare", "#hit-why", "#hit-callback", "#hit-over"];
const OPEN = new Set(["new", "acknowledged"]);
// A finger or a word on its way to what was there before must not decide on a hit.
const REST_MS = 500;
// Whoever goes on tapping means the hit.
const MAX_TAPS_MS = 1000;
// Texts with more characters are set smaller or alone.
const LONG_REASON = 44;
const LONG_VALUE = 30;
const LONG_PLATE = 10;

export const isOpen = (hit) => OPEN.has(hit.state);
export const isVerified = (hit) => CHECKS.every((check) => hit.checks[check] === true);

function setLong(element, text, limit) {
  setText(element, text);
  element.classList.toggle("long", text.length > limit);
}

export class HitView {
  // `onClose` when the officer is done with it; `utcUs` gives the unit's time, null while it is unknown.
  constructor(onClose, utcUs) {
    this.utcUs = utcUs;
    this.hit = null;
    this.panel = null;
    this.picked = new Set();
    this.deciding = new Set();
    this.onClose = onClose;
    this.blind = false;
    all("#hit-checks button").forEach((button) => button.addEventListener("click", () => this.check(button.dataset.check)));
    all("#hit-why [data-reason]").forEach((button) => button.addEventListener("click", () => this.reject(button.dataset.reason)));
    one("#hit-reject").addEventListener("click", () => this.rejectOrAsk());
    one("#hit-none").addEventListener("click", () => this.pick(null));
    all("#hit-later, #hit [data-later]").forEach((button) => button.addEventListener("click", () => this.later()));
    one("#hit [data-close]").addEventListener("click", () => this.close());
    one("#hit [data-back]").addEventListener("click", () => this.go("#hit-compare"));
    one("#hit-callback").addEventListener("submit", (event) => this.confirm(event));
    addEventListener("pointerdown", () => this.isResting && performance.now() - this.openedMs < MAX_TAPS_MS && this.rest(), true);
  }

  get isShown() { return this.hit !== null; }

  get isResting() { return this.isShown && one("#hit").inert; }

  // Takes no tap and no key until there was none for a moment.
  rest() {
    one("#hit").inert = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      one("#hit").inert = false;
      if (this.isShown) this.draw();
    }, REST_MS);
  }

  open(hit, blind) {
    this.hit = hit;
    this.blind = blind;
    this.panel = null;
    one("#hit-callback").reset();
    one("#hit-callback [name=confirming_agency]").value = hit.listed.owner ?? "";
    this.focused = null;
    this.openedMs = performance.now();
    show(one("#hit"), true);
    one("#frame").inert = true;
    this.rest();
    this.draw();
  }

  // The same hit, changed.
  update(hit) {
    this.hit = hit;
    this.draw();
  }

  // Only this hit: while the unit answered, another one can have come to the front.
  closeIf(hitId) {
    if (this.hit?.hit_id === hitId) this.close();
  }

  close() {
    this.hit = null;
    show(one("#hit"), false);
    one("#frame").inert = false;
    this.onClose();
  }

  go(panel) {
    this.panel = panel;
    this.draw();
  }

  startPanel() {
    if (!isOpen(this.hit)) return "#hit-over";
    if (isVerified(this.hit)) return "#hit-callback";
    return this.blind && !this.picked.has(this.hit.hit_id) && this.hit.checks.characters === null ? "#hit-blind" : "#hit-compare";
  }

  draw() {
    const { hit } = this;
    const panel = isOpen(hit) ? this.panel ?? this.startPanel() : "#hit-over";
    PANELS.forEach((name) => show(one(name), name === panel));
    const isBlind = panel === "#hit-blind";
    // Before the choice nothing on the screen gives the listed text away.
    setLong(one("#hit-reason"), isBlind ? known(`priority.${hit.priority}`, "") : [hit.listed.reason, hit.listed.note].filter(Boolean).join(" · "), LONG_REASON);
    this.drawProvenance(isBlind);
    one("#hit-list").classList.toggle("bad", !isBlind && hit.listed.stale === true);
    // The final read has better pictures than the first frames.
    for (const kind of ["plate", "overview"]) {
      setPicture(one(`#hit-${kind}`), hit.pictures.includes(kind) ? `/pictures/hit/${hit.hit_id}/${kind}?${hit.stage}` : "");
    }
    if (isBlind) this.drawChoices();
    else this.drawComparison();
    if (panel === "#hit-over") setText(one("#hit-state"), known(`hit.${hit.state}`, hit.state));
    this.focus(panel);
  }

  // The keyboard starts at the first control of a panel when the panel changes.
  focus(panel) {
    const now = `${this.hit.hit_id} ${panel}`;
    if (now === this.focused || this.isResting) return;
    this.focused = now;
    const empty = all("input", one(panel)).find((input) => input.value === "");
    (empty ?? one("button", one(panel)))?.focus({ preventScroll: true });
  }

  // The age first: a long name must not push it off the screen.
  drawProvenance(isBlind) {
    const { listed } = this.hit;
    // A hit can wait in the queue for hours: the list is as old as it is now.
    const ageS = this.utcUs() && listed.as_of_utc_us ? (this.utcUs() - listed.as_of_utc_us) / 1e6 : listed.age_s ?? null;
    const old = ageS === null ? null : t("hit.old_list", { age: age(ageS) });
    const parts = isBlind ? [] : [listed.stale ? t("unit.stale") : null, old, listed.list_name, listed.owner].filter(Boolean);
    const element = one("#hit-list");
    const text = parts.join(" · ");
    if (element.textContent === text) return;
    // Each on its own: a name that is written from right to left turns nothing else round.
    element.replaceChildren(...parts.flatMap((part, i) => [i ? " · " : "", make("bdi", {}, part)]));
  }

  drawChoices() {
    const list = one("#hit-choices");
    if (list.dataset.key === this.hit.hit_id) return;
    list.dataset.key = this.hit.hit_id;
    list.replaceChildren(...this.hit.choices.map((choice) => {
      const button = data("button", choice.text, { type: "button", class: "plate" });
      button.addEventListener("click", () => this.pick(choice));
      return button;
    }));
  }

  drawComparison() {
    const { hit } = this;
    this.drawPlate(one("#hit-read"), hit.text, hit.listed.text);
    this.drawPlate(one("#hit-listed"), hit.listed.text, hit.text);
    const vehicle = [hit.listed.colour, hit.listed.year, hit.listed.make, hit.listed.model].filter(Boolean).join(" ");
    const shown = { characters: "", region: region(hit.listed.region), vehicle: vehicle || t("unit.unknown") };
    for (const check of CHECKS) {
      const button = one(`#hit-checks [data-check=${check}]`);
      setAttribute(button, "aria-pressed", String(hit.checks[check] === true));
      setAttribute(button, "data-holds", hit.checks[check] === false ? "no" : "");
      setLong(one("b", button), shown[check], LONG_VALUE);
    }
    setText(one("#hit-number"), hit.listed.callback ?? "");
  }

  // Characters that differ are marked; a wildcard of the list matches anything.
  drawPlate(element, text, other) {
    const same = text.length === other.length || other.includes("*") || text.includes("*");
    const parts = [...text].map((char, i) => {
      const equal = char === other[i] || char === "?" || other[i] === "?" || char === "*" || other.includes("*");
      return same && equal ? char : make("mark", {}, char);
    });
    if (element.textContent !== text || element.dataset.other !== other) element.replaceChildren(...parts);
    element.dataset.other = other;
    element.classList.toggle("long", text.length > LONG_PLATE);
  }

  async acknowledge() {
    if (this.hit.state === "new") await command("acknowledge", { hit_id: this.hit.hit_id });
  }

  async pick(choice) {
    const { hit_id } = this.hit;
    const acknowledged = this.acknowledge();
    const answer = await command("check", { hit_id, check: "characters", holds: choice !== null && choice.listed });
    await acknowledged;
    // Nothing of the list is shown before an officer's answer counts.
    if (!answer.ok) return;
    this.picked.add(hit_id);
    if (this.hit?.hit_id === hit_id) this.draw();
  }

  async check(check) {
    const { hit_id, checks } = this.hit;
    const holds = checks[check] === true ? null : true;
    // Shown at once: the finger must not wait for the unit.
    this.answer(check, holds);
    const acknowledged = this.acknowledge();
    const answer = await command("check", { hit_id, check, holds });
    await acknowledged;
    if (!answer.ok && this.hit?.hit_id === hit_id) this.answer(check, checks[check]);
  }

  answer(check, holds) {
    this.picked.add(this.hit.hit_id);
    this.hit = { ...this.hit, checks: { ...this.hit.checks, [check]: holds } };
    this.go(null);
  }

  // Where a check has failed, the reason is known.
  rejectOrAsk() {
    const failed = CHECKS.find((check) => this.hit.checks[check] === false);
    if (failed) this.reject(REASON_OF[failed]);
    else this.go("#hit-why");
  }

  async reject(reason) {
    const { hit_id, checks } = this.hit;
    const failed = CHECKS.find((check) => REASON_OF[check] === reason);
    const found = { ...checks, ...(failed ? { [failed]: false } : {}) };
    await this.decide(hit_id, { checks: found, decision: "reject", reason, confirming_agency: "", reference: "" });
  }

  async confirm(event) {
    event.preventDefault();
    const { hit_id, checks } = this.hit;
    const form = values(event.target);
    if (isFilled(event.target)) await this.decide(hit_id, { checks, decision: "confirm", reason: "", ...form });
  }

  // Once: the second tap of two is none.
  async decide(hitId, decision) {
    if (this.deciding.has(hitId)) return;
    this.deciding.add(hitId);
    await this.acknowledge();
    const answer = await command("dispose", { hit_id: hitId, ...decision });
    this.deciding.delete(hitId);
    if (answer.ok) this.closeIf(hitId);
  }

  async later() {
    const acknowledged = this.acknowledge();
    this.close();
    await acknowledged;
  }

  // Keys: 1 to 7 choose, c s v check, n is no match, Escape is later.
  key(event) {
    // A key that something lies on repeats for ever.
    if (event.repeat) return undefined;
    if (this.isResting) return this.rest();
    if (event.target.matches("input") || event.ctrlKey || event.altKey || event.metaKey) return event.key === "Escape" && this.later();
    const buttons = {
      c: "[data-check=characters]", s: "[data-check=region]", v: "[data-check=vehicle]", n: "#hit-reject, #hit-none", Escape: "#hit-later, [data-later], [data-close], [data-back]",
    };
    const chosen = /^[1-7]$/.test(event.key)
      ? all("#hit-choices button, #hit-why [data-reason]").filter((b) => b.offsetParent)[Number(event.key) - 1]
      : buttons[event.key] && all(buttons[event.key], one("#hit")).find((b) => b.offsetParent);
    if (chosen) {
      event.preventDefault();
      chosen.click();
    } else if (event.key === "Escape") this.later();
    return undefined;
  }
}
