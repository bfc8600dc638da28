// Incidents: drafts of the agent, opened by hand or from a hit, closed with two answers.

import { command, say } from "./api.js";
import { all, make, one, setList, setText, show } from "./dom.js";
import { clock, known, t } from "./texts.js";

const values = (form) => Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));
let incidents = [];
let ofHit = null;

export function startIncidents() {
  one("#incident").addEventListener("submit", async (event) => {
    event.preventDefault();
    if ((await save()).ok) say(t("incident.saved"));
  });
  one("#incident-close").addEventListener("click", async () => {
    const { contribution, outcome } = values(one("#incident"));
    if (!contribution || !outcome) {
      say(t("error.unanswered"));
      return;
    }
    const saved = await save();
    if (!saved.ok || !(await command("incident_close", { incident_id: saved.incident_id, contribution, outcome })).ok) return;
    one("#incident").reset();
    await loadIncidents("");
    say(t("incident.closed"));
  });
  one("#incident-choice").addEventListener("change", (event) => fill(event.target.value));
}

// A new one with a hit: the agent gives it the hit's time and place.
export function newIncident(hit) {
  one("#incident-choice").value = "";
  fill("");
  showHit(hit);
  one("#incident-box").open = true;
}

function showHit(hit) {
  ofHit = hit;
  setText(one("#incident-hit"), hit ? t("incident.of_hit", { plate: hit.text }) : "");
  show(one("#incident-hit"), hit !== null);
}

export async function loadIncidents(chosen) {
  const answer = await command("incidents");
  if (!answer.ok) return;
  incidents = answer.incidents;
  const choice = one("#incident-choice");
  const items = [{ incident_id: "", label: t("shift.new_incident") }, ...incidents.map((incident) => ({ ...incident, label: [incident.category && known(`category.${incident.category}`, incident.category), incident.where, incident.utc_us && clock(incident.utc_us)].filter(Boolean).join(" · ") || "–" }))];
  setList(choice, items, (item) => item.incident_id, (item) => make("option", { value: item.incident_id }), (option, item) => setText(option, item.label));
  choice.value = chosen;
}

export function forgetIncidents() {
  incidents = [];
  all("option:not([value=''])", one("#incident-choice")).forEach((option) => option.remove());
  fill("");
  one("#incident-box").open = false;
}

function fill(id) {
  showHit(null);
  const incident = incidents.find((one_) => one_.incident_id === id);
  const form = one("#incident");
  for (const name of ["category", "where", "case_number", "contribution", "outcome"]) form.elements[name].value = incident?.[name] ?? "";
  form.elements.note.value = incident?.notes.join(" ") ?? "";
}

async function save() {
  const { note, ...form } = values(one("#incident"));
  const id = one("#incident-choice").value || null;
  const before = incidents.find((incident) => incident.incident_id === id);
  const answer = await command("incident_save", {
    ...form, incident_id: id, notes: note ? [note] : [], reads: before?.reads ?? [], hits: before?.hits ?? (ofHit ? [ofHit.hit_id] : []),
  });
  if (answer.ok) {
    showHit(null);
    await loadIncidents(answer.incident_id);
  }
  return answer;
}
