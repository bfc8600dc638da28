// Sign-on, activities, incidents, plates to watch for.

import { command, say } from "./api.js";
import { all, one, setAttribute, setText, show } from "./dom.js";
import { clock, known, t } from "./texts.js";

const list = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);
let incident = null;
let mine = false;

const values = (form) => Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));

export function startShift(openHits) {
  one("#sign-on").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = values(event.target);
    const answer = await command("sign_on", { ...form, crew: list(form.crew), equipment: list(form.equipment) });
    one("#sign-on [name=pin]").value = "";
    if (answer.ok) event.target.reset();
  });
  one("#sign-off").addEventListener("click", () => command("sign_off"));
  all("[data-activity]").forEach((button) => button.addEventListener("click", async () => {
    const answer = await command("activity", { kind: button.dataset.activity });
    if (answer.ok) all("[data-activity]").forEach((other) => setAttribute(other, "aria-pressed", String(other === button)));
  }));
  one("#incident").addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await save(openHits());
    if (answer.ok) say(t("incident.saved"));
  });
  one("#incident-close").addEventListener("click", async () => {
    if (!(await save(openHits())).ok || incident === null) return;
    const { contribution, outcome } = values(one("#incident"));
    if (!(await command("incident_close", { incident_id: incident, contribution, outcome })).ok) return;
    incident = null;
    one("#incident").reset();
    say(t("incident.closed"));
  });
  one("#watch").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = values(event.target);
    if (!(await command("watch_plate", { ...form, text: form.text.toUpperCase() })).ok) return;
    event.target.reset();
    say(t("watch.added"));
  });
}

async function save(hits) {
  const answer = await command("incident_save", { draft: { ...values(one("#incident")), incident_id: incident, hits, reads: [] } });
  if (answer.ok) incident = answer.incident_id ?? incident;
  return answer;
}

let shift = null;

export function drawShift(document_) {
  ({ shift, mine } = document_);
  draw();
}

function draw() {
  show(one("#sign-on"), !mine);
  show(one("#signed-on"), mine);
  const [who, since] = one("#who").children;
  const role = shift?.role ? known(`role.${shift.role}`, shift.role) : "";
  setText(who, shift ? [shift.badge, role, shift.zone].filter(Boolean).join(" · ") : "");
  const time = shift?.since_utc_us ? clock(shift.since_utc_us) : "";
  setText(since, time ? t("shift.since", { time }) : "");
}

// Nothing can be typed while the vehicle moves.
export function lockEntry(locked) {
  setAttribute(document.body, "data-locked", locked ? "yes" : "no");
  all("form input, form textarea, form select, form [type=submit], #incident-close, #mask-save, #rotate-save, #mask-camera").forEach((element) => {
    if (element.disabled !== locked) element.disabled = locked;
  });
}
