// Puts the page together: the stream's sections into the views, one view at a time, a new hit in front of all.

import { all, one, setAttribute, setText, show } from "./dom.js";
import { HitView } from "./hit.js";
import { drawReads, drawStrip } from "./now.js";
import { drawQueue, startQueue } from "./queue.js";
import { drawSettings, load, startSettings } from "./settings.js";
import { newIncident, startIncidents } from "./incident.js";
import { drawShift, loadShift, lockEntry, startShift } from "./shift.js";
import { follow } from "./stream.js";
import { loadTexts, t } from "./texts.js";
import { drawUnit, watch } from "./unit.js";
import { startWatched } from "./watched.js";

const VIEWS = ["now", "queue", "unit", "shift", "settings"];
const state = { reads: [], hits: [], unit: {}, beat: null, beatMs: 0, passenger: sessionStorage.getItem("passenger") === "yes", seen: new Set() };
const hitView = new HitView(() => { state.seen.add(state.lastHit); nextHit(); }, () => state.beat?.utc_us ?? null);

// The unit's monotonic clock now: ages go on between two heartbeats.
const nowUs = () => (state.beat?.mono_us ?? 0) + (performance.now() - state.beatMs) * 1000;

function route() {
  const name = VIEWS.find((view) => `#${view}` === location.hash) ?? "now";
  for (const view of VIEWS) {
    show(one(`#${view}`), view === name);
    if (view === name) setAttribute(one(`#nav-${view}`), "aria-current", "page");
    else one(`#nav-${view}`).removeAttribute("aria-current");
  }
  if (name !== "unit") watch(null);
  if (name === "settings") load();
  if (name === "shift") loadShift();
  draw(name);
}

const draw = (name) => {
  if (name === "now") drawReads(state.reads, nowUs(), new Set(state.hits.map((hit) => hit.read_id)));
  if (name === "unit") drawUnit(state.unit);
  const hitOf = (id) => state.hits.find((hit) => hit.hit_id === id);
  drawQueue(state.hits, nowUs(), (id) => openHit(hitOf(id)), (id) => {
    newIncident(hitOf(id));
    location.hash = "#shift";
  });
};
const shown = () => VIEWS.find((view) => !one(`#${view}`).hidden) ?? "now";

function openHit(hit) {
  state.lastHit = hit.hit_id;
  hitView.open(hit, state.passenger || !(state.beat?.locked ?? true));
}

// A new hit comes to the front, unless the officer is at another one.
function nextHit() {
  if (hitView.isShown) return;
  const hit = state.hits.find((one_) => one_.state === "new" && one_.alerted !== false && !state.seen.has(one_.hit_id));
  if (hit) openHit(hit);
}

const sections = {
  beat(document_) {
    // A unit that was away can have another roster; at the start so that nothing moves under a finger later.
    if (document_.connected && !state.beat?.connected) loadShift();
    const halted = state.beat?.locked && !document_.locked;
    state.beat = document_;
    state.beatMs = performance.now();
    lockEntry(document_.locked);
    if (halted && shown() === "settings") load();
    drawStrip(document_);
    if (shown() !== "unit") draw(shown());
  },
  reads(document_) {
    state.reads = document_.reads ?? [];
    setText(one("#no-reads"), t(document_.hidden ? "app.sign_on_first" : "now.empty"));
    draw("now");
  },
  hits(document_) {
    state.hits = document_.hits ?? [];
    const current = hitView.isShown && state.hits.find((hit) => hit.hit_id === hitView.hit.hit_id);
    if (current) hitView.update(current);
    else if (hitView.isShown) hitView.close();
    draw("queue");
    nextHit();
  },
  unit(document_) {
    state.unit = document_;
    drawSettings(document_);
    if (shown() === "unit") drawUnit(document_);
  },
  shift: drawShift,
};

function warn(ageS, beat, connected, oldAfterS) {
  let text = "";
  if (!connected) text = t("app.page_lost");
  else if (beat && !beat.connected) text = t("app.lost");
  else if (ageS > oldAfterS) text = t("app.old", { seconds: Math.floor(ageS) });
  else if (beat?.stopping) text = t("app.stopping");
  const alarm = one("#alarm");
  alarm.classList.remove("unstarted");
  setText(alarm, text);
  show(alarm, text !== "");
  document.body.classList.toggle("alarmed", text !== "");
  // What the lamp said is no longer known; the next heartbeat says it again.
  if (text !== "" && !beat?.stopping) drawStrip({ lamp: null, utc_us: beat?.utc_us });
}

await loadTexts();
startQueue();
startShift();
startIncidents(() => state);
startWatched();
startSettings((is) => { state.passenger = is; sessionStorage.setItem("passenger", is ? "yes" : "no"); });
if (state.passenger) one("#passenger-yes").click();
addEventListener("hashchange", route);
addEventListener("keydown", (event) => {
  if (hitView.isShown) hitView.key(event);
  else if (event.key === "Escape") one(".sheet [data-close]").click();
  else if (/^[1-5]$/.test(event.key) && !event.target.matches("input, textarea, select")) all("nav a")[Number(event.key) - 1].click();
});
route();
const stream = follow((name, document_) => sections[name](document_), (ageS, beat, connected) => warn(ageS, beat, connected, stream.oldAfterS));
