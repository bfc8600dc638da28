// Incidents: drafts of the agent, opened by hand or from a hit, closed with two answers.

import { command, say } from "./api.js";
import { all, data, make, one, setAttribute, setList, setText, show } from "./dom.js";
import { listOf, values } from "./forms.js";
import { clock, known, t } from "./texts.js";

const MAX_NOTES = 16;
const MAX_READS = 8;
const MAX_HITS = 8;
const FIELDS = ["category", "where", "case_number", "contribution", "outcome"];
let incidents = [];
let linked = { reads: new Set(), hits: new Set() };
let saving = Promise.resolve();
let seen = () => ({ reads: [], hits: [] });

// `seenNow` gives the reads and hits that are on the page.
export function startIncidents(seenNow) {
  seen = seenNow;
  const form = one("#incident");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if ((await save()).ok) say(t("incident.saved"));
  });
  one("#incident-close").addEventListener("click", async () => {
    const { contribution, outcome } = values(form);
    if (!contribution || !outcome) {
      say(t("error.unanswered"));
      return;
    }
    const saved = await save();
    if (!saved.ok || !(await command("incident_close", { incident_id: saved.incident_id, contribution, outcome })).ok) return;
    fill("");
    await loadIncidents("");
    say(t("incident.closed"));
  });
  // What was changed in a draft does not wait for the button: the supply can end at any time.
  form.addEventListener("change", (event) => {
    if (event.target.id !== "incident-choice" && one("#incident-choice").value) save();
  });
  one("#incident-choice").addEventListener("change", (event) => fill(event.target.value));
  one("#incident-box").addEventListener("toggle", drawLinks);
}

// A new one with a hit: the agent gives it the hit's time and place.
export function newIncident(hit) {
  one("#incident-choice").value = "";
  fill("");
  linked.hits.add(hit.hit_id);
  setText(one("#incident-hit"), t("incident.of_hit", { plate: hit.text }));
  show(one("#incident-hit"), true);
  one("#incident-box").open = true;
  drawLinks();
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
  fill("");
  one("#incident-box").open = false;
}

function fill(id) {
  show(one("#incident-hit"), false);
  const incident = incidents.find((one_) => one_.incident_id === id);
  const form = one("#incident");
  for (const name of FIELDS) form.elements[name].value = incident?.[name] ?? "";
  form.elements.note.value = incident?.notes.join("\n") ?? "";
  form.elements.people.value = incident?.people?.join(", ") ?? "";
  linked = { reads: new Set(incident?.reads), hits: new Set(incident?.hits) };
  drawLinks();
}

// The latest reads and hits, and those that are linked already: a tap links one, a second tap takes it off.
function drawLinks() {
  const now = seen();
  const texts = { hits: new Map(now.hits.map((hit) => [hit.hit_id, hit.text])), reads: new Map(now.reads.map((read) => [read.read_id, read.text])) };
  const ofHits = new Set(now.hits.map((hit) => hit.read_id));
  const offered = {
    hits: [...new Set([...linked.hits, ...[...texts.hits.keys()].slice(0, MAX_HITS)])],
    reads: [...new Set([...linked.reads, ...[...texts.reads.keys()].filter((id) => !ofHits.has(id)).slice(0, MAX_READS)])],
  };
  const items = ["hits", "reads"].flatMap((kind) => offered[kind].map((id) => ({ kind, id, text: texts[kind].get(id) })));
  setList(one("#incident-links .grid"), items, (item) => `${item.kind} ${item.id}`, (item) => {
    const button = make("button", { type: "button" }, data("span", "", { class: "plate" }), item.kind === "hits" ? make("span", {}, t("hit.title")) : "");
    button.addEventListener("click", () => {
      if (!linked[item.kind].delete(item.id)) linked[item.kind].add(item.id);
      drawLinks();
      if (one("#incident-choice").value) save();
    });
    return button;
  }, (button, item) => {
    setText(one(".plate", button), item.text ?? t("incident.linked_before"));
    setAttribute(button, "aria-pressed", String(linked[item.kind].has(item.id)));
  });
  show(one("#incident-links"), items.length > 0);
}

// Lines of at most 256 characters, as the unit keeps them.
const notesOf = (text) => text.split("\n").filter(Boolean).flatMap((line) => line.match(/.{1,256}/gu) ?? []);

// One after the other: a draft that is saved twice at once would become two.
function save() {
  saving = saving.then(saveNow);
  return saving;
}

async function saveNow() {
  const { note, people, ...form } = values(one("#incident"));
  const notes = notesOf(note);
  if (notes.length > MAX_NOTES) {
    say(t("error.too_large"));
    return { ok: false };
  }
  const answer = await command("incident_save", {
    ...form, incident_id: one("#incident-choice").value || null, notes, people: listOf(people), reads: [...linked.reads], hits: [...linked.hits],
  });
  if (answer.ok) {
    show(one("#incident-hit"), false);
    await loadIncidents(answer.incident_id);
  }
  return answer;
}
