// Sign-on, activities, incidents, plates to watch for.  What can be chosen comes from the roster.

import { command, say } from "./api.js";
import { all, data, make, one, setAttribute, setList, setText, show } from "./dom.js";
import { clock, known, t } from "./texts.js";

const CHOICES = { role: "roles", vehicle: "vehicles", zone: "zones", checkpoint: "checkpoints", task: "tasks", category: "categories", outcome: "outcomes", contribution: "contributions" };
const list = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);
const values = (form) => Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
let incidents = [];
let shift = null;
let mine = false;
let who = "";

export function startShift(hitsOfIncident) {
  one("#sign-on").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = values(event.target);
    const equipment = all("#equipment [aria-pressed=true]").map((button) => button.dataset.key);
    const answer = await command("sign_on", { ...form, crew: list(form.crew), equipment });
    one("#sign-on [name=pin]").value = "";
    if (answer.ok) event.target.reset();
  });
  one("#sign-off").addEventListener("click", () => command("sign_off"));
  one("#incident").addEventListener("submit", async (event) => {
    event.preventDefault();
    if ((await save(hitsOfIncident())).ok) say(t("incident.saved"));
  });
  one("#incident-close").addEventListener("click", async () => {
    const { contribution, outcome } = values(one("#incident"));
    if (!contribution || !outcome) {
      say(t("error.unanswered"));
      return;
    }
    const saved = await save(hitsOfIncident());
    if (!saved.ok || !(await command("incident_close", { incident_id: saved.incident_id, contribution, outcome })).ok) return;
    one("#incident").reset();
    await loadIncidents("");
    say(t("incident.closed"));
  });
  one("#incident-choice").addEventListener("change", (event) => fill(event.target.value));
  one("#watch").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = values(event.target);
    if (!(await command("watch_plate", { ...form, text: form.text.toUpperCase() })).ok) return;
    event.target.reset();
    say(t("watch.added"));
  });
}

// Called at the start, so that nothing moves under a finger later, and when the view is opened: the roster can have changed.
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
  toggles(one("#equipment .grid"), roster.equipment ?? [], (name) => name, (button) => setAttribute(button, "aria-pressed", String(button.getAttribute("aria-pressed") !== "true")));
  show(one("#equipment"), (roster.equipment ?? []).length > 0);
  toggles(one("#activities"), roster.activities ?? [], (name) => known(`activity.${name}`, name), async (button) => {
    const done = await command("activity", { kind: button.dataset.key });
    if (done.ok) press(button.dataset.key);
  });
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

const press = (activity) => all("#activities button").forEach((button) => setAttribute(button, "aria-pressed", String(button.dataset.key === activity)));

async function loadIncidents(chosen) {
  const answer = await command("incidents");
  if (!answer.ok) return;
  incidents = answer.incidents;
  const choice = one("#incident-choice");
  const items = [{ incident_id: "", label: t("shift.new_incident") }, ...incidents.map((incident) => ({ ...incident, label: [incident.category && known(`category.${incident.category}`, incident.category), incident.where, incident.utc_us && clock(incident.utc_us)].filter(Boolean).join(" · ") || "–" }))];
  setList(choice, items, (item) => item.incident_id, (item) => make("option", { value: item.incident_id }), (option, item) => setText(option, item.label));
  choice.value = chosen;
}

function fill(id) {
  const incident = incidents.find((one_) => one_.incident_id === id);
  const form = one("#incident");
  for (const name of ["category", "where", "case_number", "contribution", "outcome"]) form.elements[name].value = incident?.[name] ?? "";
  form.elements.note.value = incident?.notes.join(" ") ?? "";
}

async function save(hits) {
  const { note, ...form } = values(one("#incident"));
  const id = one("#incident-choice").value || null;
  const before = incidents.find((incident) => incident.incident_id === id);
  const answer = await command("incident_save", {
    ...form, incident_id: id, notes: note ? [note] : [], reads: before?.reads ?? [], hits: [...new Set([...(before?.hits ?? []), ...hits])].slice(0, 16),
  });
  if (answer.ok) await loadIncidents(answer.incident_id);
  return answer;
}

export function drawShift(document_) {
  const before = mine;
  ({ shift, mine, who } = document_);
  show(one("#sign-on"), !mine);
  show(one("#signed-on"), mine);
  const [badge, since] = one("#who").children;
  setText(badge, [who, shift?.role && known(`role.${shift.role}`, shift.role), shift?.zone].filter(Boolean).join(" · "));
  setText(since, shift?.since_utc_us ? t("shift.since", { time: clock(shift.since_utc_us) }) : "");
  press(shift?.activity);
  if (mine && !before && !one("#shift").hidden) loadShift();
}

// Nothing can be typed while the vehicle moves.
export function lockEntry(locked) {
  setAttribute(document.body, "data-locked", locked ? "yes" : "no");
  all("form input, form textarea, form select, form [type=submit], #incident-close, #mask-save, #rotate-save, #mask-camera").forEach((element) => {
    if (element.disabled !== locked) element.disabled = locked;
  });
}
