// Who is on duty, sign-on, activities.  What can be chosen comes from the roster.

import { command, say } from "./api.js";
import { all, data, make, one, setAttribute, setList, setText, show } from "./dom.js";
import { isFilled, listOf, values } from "./forms.js";
import { forgetIncidents, loadIncidents } from "./incident.js";
import { clock, duration, known, t } from "./texts.js";
import { forgetWatched } from "./watched.js";

const CHOICES = { role: "roles", vehicle: "vehicles", zone: "zones", checkpoint: "checkpoints", task: "tasks", category: "categories", outcome: "outcomes", contribution: "contributions" };
let shift = null;
let mine = false;
let officer = "";
// The form is open for somebody else, beside the shift of whoever has signed on.
let other = false;

export function startShift() {
  one("#sign-on").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form_ = event.target;
    if (!isFilled(form_)) return;
    const form = values(form_);
    const equipment = all("#equipment [aria-pressed=true]").map((button) => button.dataset.key);
    const answer = await command("sign_on", { ...form, crew: listOf(form.crew), equipment });
    for (const name of ["pin", "token"]) form_.elements[name].value = "";
    if (answer.ok) form_.reset();
    needPin(form_);
  });
  one("#sign-on [name=token]").addEventListener("input", (event) => needPin(event.target.form));
  one("#unlock").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!isFilled(event.target)) return;
    const answer = await command("unlock", values(event.target));
    event.target.elements.pin.value = "";
    if (!answer.ok) return;
    event.target.reset();
    say(t("unlock.done"));
  });
  one("#other-officer").addEventListener("click", () => {
    showSignOn(!other);
    if (other) one("#sign-on").scrollIntoView({ block: "start" });
  });
  one("#sign-off").addEventListener("click", async () => {
    if ((await command("sign_off")).error === "incidents_open") one("#incident-box").open = true;
  });
}

function showSignOn(forAnother) {
  other = forAnother;
  show(one("#sign-on"), !mine || other);
  setAttribute(one("#other-officer"), "aria-expanded", String(other));
}

// A token stands for badge and PIN.
function needPin(form) {
  for (const name of ["badge", "pin"]) form.elements[name].required = form.elements.token.value === "";
}

// Called when the unit is there, and when the view is opened: the roster can have changed.
export async function loadShift() {
  const answer = await command("shift", {}, one("#shift").hidden);
  if (!answer.ok) return;
  const { roster } = answer;
  if (!roster) {
    if (!one("#shift").hidden) say(t("error.no_roster"));
    return;
  }
  for (const select of all("[data-choices]")) {
    const choices = roster[CHOICES[select.dataset.choices]] ?? [];
    const kind = select.dataset.choices;
    const items = choices.map((choice) => (typeof choice === "string" ? { id: choice, name: known(`${kind}.${choice}`, choice) } : choice));
    setList(select, [{ id: "", name: "" }, ...items], (item) => item.id, (item) => make("option", { value: item.id }), (option, item) => setText(option, item.name));
    show(select.parentElement, items.length > 0);
  }
  show(one("#sign-on [name=token]").parentElement, roster.tokens === true);
  toggles(one("#equipment .grid"), roster.equipment ?? [], (name) => name, (button) => setAttribute(button, "aria-pressed", String(button.getAttribute("aria-pressed") !== "true")));
  show(one("#equipment"), (roster.equipment ?? []).length > 0);
  toggles(one("#activities"), roster.activities ?? [], (name) => known(`activity.${name}`, name), async (button) => {
    const done = await command("activity", { kind: button.dataset.key });
    if (!done.ok) return;
    press(button.dataset.key);
    await loadShift();
  });
  drawHours(answer.shift);
  press(shift?.activity);
  if (mine) await loadIncidents(one("#incident-choice").value);
}

function toggles(box, names, label, act) {
  setList(box, names, (name) => name, () => {
    const button = data("button", "", { type: "button", "aria-pressed": "false" });
    button.addEventListener("click", () => act(button));
    return button;
  }, (button, name) => setText(button, label(name)));
}

// Actual and planned hours, as they were when the view was opened.
function drawHours(own) {
  const planned = own?.planned_hours ?? {};
  for (const button of all("#activities button")) {
    const name = button.dataset.key;
    const actual = duration(own?.hours?.[name] ?? 0);
    const of = planned[name] ? t("shift.hours_of", { actual, planned: duration(planned[name]) }) : t("shift.hours_only", { actual });
    setText(button, [known(`activity.${name}`, name), own ? of : ""].filter(Boolean).join("\n"));
  }
  const worked = duration(own?.worked_s ?? 0);
  setText(one("#hours"), typeof own?.planned_s === "number" ? t("shift.hours", { worked, planned: duration(own.planned_s) }) : t("shift.unplanned", { worked }));
  show(one("#hours"), Boolean(own));
}

const press = (activity) => all("#activities button").forEach((button) => setAttribute(button, "aria-pressed", String(button.dataset.key === activity)));

function shiftLine(open) {
  const names = [open.badge, open.role && known(`role.${open.role}`, open.role), open.zone, open.activity && known(`activity.${open.activity}`, open.activity)];
  return [...names, open.since_utc_us && t("shift.since", { time: clock(open.since_utc_us) })].filter(Boolean).join(" · ");
}

// What one officer has typed or seen is not there for the next one at the same terminal.
function greet(who) {
  if (officer && who && who !== officer) {
    all("#signed-on form").forEach((form) => form.reset());
    forgetIncidents();
    forgetWatched();
  }
  officer = who || officer;
}

export function drawShift(document_) {
  greet(document_.who);
  const [before, own] = [mine, shift?.shift_id];
  const shifts = document_.shifts ?? [];
  mine = document_.mine !== null;
  shift = shifts.find((open) => open.shift_id === document_.mine) ?? null;
  if (shift?.shift_id !== own) showSignOn(false);
  else showSignOn(other);
  show(one("#signed-on"), mine);
  setList(one("#shifts"), shifts, (open) => open.shift_id, () => data("li", ""), (item, open) => setText(item, shiftLine(open)));
  setText(one("#who b"), document_.who);
  press(shift?.activity);
  if (mine !== before || shift?.shift_id !== own) one("#shift").scrollTop = 0;
  if (mine && shift?.shift_id !== own && !one("#shift").hidden) loadShift();
}

// Nothing can be typed while the vehicle moves.
export function lockEntry(locked) {
  setAttribute(document.body, "data-locked", locked ? "yes" : "no");
  all("form input, form textarea, form select, form [type=submit], #incident-close, #mask-save, #rotate-save, #mask-camera").forEach((element) => {
    if (element.disabled !== locked) element.disabled = locked;
  });
}
