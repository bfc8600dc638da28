// The map page.

import { addTiles, outlines } from "./base_map.js";
import { Coverage } from "./coverage.js";
import { Drawing } from "./draw.js";
import { addLayers, show } from "./layers.js";
import { Live } from "./live.js";
import { circle, feature, point, wrapped } from "./shapes.js";
import { age, clock, degrees, element, metres, utc } from "./words.js";

const WORKER = "/static/vendor/maplibre-gl/maplibre-gl-worker.mjs";
const FRESH_S = 120;
const OLD_S = 900;
const LOOK_AFTER_MS = 350;
const SIGNS = { new: "!", acknowledged: "!", confirmed: "✓", rejected: "✕", withdrawn: "✕", expired: "–" };

// The page's policy lets scripts be named by this function alone; the map's worker is the only one.
if (globalThis.trustedTypes) {
  trustedTypes.createPolicy("default", {
    createScriptURL: (url) => (new URL(url, location.href).pathname === WORKER ? url : null),
  });
}

const box = document.getElementById("map");
const own = box.dataset;
const by = (id) => document.getElementById(id);
const mayHits = own.hits === "yes";
const mayReads = own.reads === "yes";
let maplibre;
let map;
let drawing;
let live;
let units = [];
let selected = null;
let wanted = 0;
let hasFitted = false;

const nowUs = () => live?.nowUs() ?? Number(own.now);
const secondsSince = (us) => (nowUs() - us) / 1e6;
const ageOf = (us) => {
  if (us === null) return "lost";
  const seconds = secondsSince(us);
  return seconds <= FRESH_S ? "fresh" : seconds <= OLD_S ? "old" : "lost";
};

async function begin() {
  maplibre = await import("/static/vendor/maplibre-gl/maplibre-gl.mjs");
  maplibre.setWorkerUrl(WORKER);
  map = new maplibre.Map({
    container: box, style: outlines(), center: [Number(own.lon), Number(own.lat)], zoom: Number(own.zoom),
    attributionControl: false, dragRotate: false, pitchWithRotate: false, touchPitch: false, maxZoom: 19,
    locale: { "Map.Title": "Map of units, leads and reads" },
  });
  map.touchZoomRotate.disableRotation();
  map.addControl(new maplibre.NavigationControl({ showCompass: false }), "top-left");
  map.addControl(new maplibre.ScaleControl({ unit: own.units }), "bottom-left");
  map.on("error", (event) => say(`The map cannot be drawn completely: ${event.error?.message || "unknown error"}`));
  await new Promise((resolve) => { map.once("load", resolve); });
  addLayers(map);
  if (own.tiles) await tiles();
  drawing = new Drawing(map, drawn);
  for (const layer of ["units", "hits", "reads", "clusters"]) {
    map.on("click", layer, (event) => pick(layer, event.features[0].properties));
    map.on("mouseenter", layer, () => { map.getCanvas().style.cursor = "pointer"; });
    map.on("mouseleave", layer, () => { map.getCanvas().style.cursor = ""; });
  }
  let timer = null;
  map.on("moveend", () => {
    clearTimeout(timer);
    timer = setTimeout(look, LOOK_AFTER_MS);
  });
  live = new Live("/api/1/map/live", update, tellAge);
  const coverage = by("show-coverage") ? new Coverage(map, ask, period) : null;
  by("period").addEventListener("change", () => {
    look();
    coverage?.look();
  });
  by("show-reads")?.addEventListener("change", look);
  by("draw-circle").addEventListener("click", () => drawing.start("circle"));
  by("draw-polygon").addEventListener("click", () => drawing.start("polygon"));
  by("draw-done").addEventListener("click", () => drawing.finish());
  by("draw-clear").addEventListener("click", () => drawing.clear());
  by("fit").addEventListener("click", fit);
  await look();
  box.dataset.ready = "yes";
}

async function tiles() {
  try {
    const attribution = await addTiles(maplibre, map, own.tiles, "coverage-areas");
    if (attribution) by("attribution").append(` ${plain(attribution)}`);
  } catch (error) {
    say(`The agency's map file cannot be used: ${error.message}`);
  }
}

// Attributions come with links in HTML: only their text is shown.
function plain(html) {
  return html.replace(/<[^>]*>/g, "");
}

function say(message) {
  by("map-error").textContent = message;
  by("map-error").hidden = false;
}

// What is in view.

function period() {
  const until = Math.round(nowUs());
  return { since_us: until - Number(by("period").value) * 1e6, until_us: until };
}

function view() {
  const bounds = map.getBounds();
  const isWhole = bounds.getEast() - bounds.getWest() >= 360;
  return new URLSearchParams({
    south: Math.max(-90, bounds.getSouth()).toFixed(6),
    west: (isWhole ? -180 : wrapped(bounds.getWest())).toFixed(6),
    north: Math.min(90, bounds.getNorth()).toFixed(6),
    east: (isWhole ? 180 : wrapped(bounds.getEast())).toFixed(6),
    ...period(),
  });
}

// What nobody has asked for does not keep the session of a person who has left.
async function ask(path, query, unattended) {
  const headers = { accept: "application/json", ...(unattended ? { "x-unattended": "yes" } : {}) };
  const answer = await fetch(`${path}?${query}`, { headers });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.message || `status ${answer.status}`);
  return told;
}

async function look({ unattended = false } = {}) {
  wanted += 1;
  const mine = wanted;
  const query = view();
  const readsShown = mayReads && by("show-reads").checked;
  // Leads are shown also if reads are refused, such as beyond what one person may look at in a day.
  const [hits, reads] = await Promise.allSettled([
    mayHits ? ask("/api/1/map/hits", query, unattended) : { hits: [] },
    readsShown ? ask("/api/1/map/reads", query, unattended) : null,
  ]);
  if (mine !== wanted) return;
  if (hits.status === "fulfilled") showHits(hits.value.hits);
  if (reads.status === "fulfilled") showReads(reads.value);
  const failed = [hits, reads].find((one) => one.status === "rejected");
  if (failed) by("view-note").textContent = `Not up to date: ${failed.reason.message}`;
}

function showHits(found) {
  const sign = (hit) => SIGNS[hit.state] || "?";
  show(map, "hits", found.map((hit) => point(hit.lon, hit.lat, { ...hit, sign: sign(hit) })));
  show(map, "hit-errors", found.filter((hit) => hit.error_m).map((hit) => feature(circle([hit.lon, hit.lat], hit.error_m), hit)));
  const list = by("hit-list");
  if (!list) return;
  list.replaceChildren(...found.slice(0, 50).map((hit) => element(
    "li", {},
    element("a", { href: hit.path }, hit.list_name || hit.list_id),
    element("span", { class: `chip ${hit.is_open ? "bad" : ""}` }, hit.state),
    element("span", { class: "quiet small" }, `${hit.unit} · ${age(secondsSince(hit.made_us))} · ${metres(hit.error_m)}`),
  )));
  by("hit-count").textContent = found.length === 0 ? "No leads in view in this period."
    : `${found.length} in view${found.length > 50 ? ", the latest 50 listed" : ""}.`;
}

function showReads(told) {
  const reads = told?.reads ?? [];
  const clusters = told?.clusters ?? [];
  show(map, "reads", reads.map((read) => point(read.lon, read.lat, read)));
  show(map, "clusters", clusters.map((cluster) => point(cluster.lon, cluster.lat, cluster)));
  const note = by("view-note");
  if (!told) note.textContent = "";
  else if (told.complete_since_us === null) note.textContent = `${told.total.toLocaleString("en")} reads in view.`;
  else {
    note.textContent = `The latest ${told.total.toLocaleString("en")} reads in view, since ${utc(told.complete_since_us)}. `
      + "There are earlier ones: zoom in, or choose a shorter period.";
  }
  box.dataset.readsShown = String(told?.total ?? 0);
}

// What is live.

function update(told) {
  units = told.units;
  showUnits();
  const list = by("unit-list");
  list.replaceChildren(...units.map((unit) => element(
    "li", {},
    element("button", { type: "button", class: "link", onclick: () => pick("units", unit, true) }, unit.unit),
    element("span", { class: `chip ${chipOf(unit)}` }, stateOf(unit)),
    element("span", { class: "quiet small" }, whereOf(unit)),
  )));
  by("unit-count").textContent = units.length === 0 ? "No unit has sent anything yet." : `${units.length} unit${units.length === 1 ? "" : "s"}.`;
  if (told.hits_changed) look({ unattended: true });
  if (!hasFitted) fit();
  box.dataset.units = String(units.length);
}

function chipOf(unit) {
  return { online: "good", birth: "good", degraded: "warn", "?": "" }[unit.state] ?? "bad";
}

function stateOf(unit) {
  return unit.state === "?" ? "no status" : unit.state;
}

function whereOf(unit) {
  if (unit.utc_us === null) return "no position in the last day";
  return `${age(secondsSince(unit.utc_us))} · ${metres(unit.error_m)}`;
}

function showUnits() {
  const placed = units.filter((unit) => unit.utc_us !== null);
  const values = (unit) => {
    const its = ageOf(unit.utc_us);
    const label = its === "fresh" ? unit.unit : `${unit.unit}\n${age(secondsSince(unit.utc_us))}`;
    return { unit: unit.unit, age: its, label };
  };
  show(map, "units", placed.map((unit) => point(unit.lon, unit.lat, values(unit))));
  show(map, "unit-errors", placed.filter((unit) => unit.error_m).map((unit) => feature(circle([unit.lon, unit.lat], unit.error_m), values(unit))));
}

function tellAge({ silentS, isOld, nowUs: at }) {
  const line = by("live-note");
  line.classList.toggle("bad", isOld);
  if (silentS === null) line.textContent = "Waiting for the station.";
  else if (isOld) line.textContent = `NO CONNECTION for ${Math.floor(silentS)} s: what is shown is from ${clock(at - silentS * 1e6)}.`;
  else line.textContent = `Live. Station's time ${clock(at)}.`;
  box.dataset.live = isOld ? "no" : "yes";
}

// What was clicked.

function pick(layer, values, fly = false) {
  if (drawing.isDrawing) return;
  if (layer === "clusters") {
    map.easeTo({ center: [values.lon, values.lat], zoom: Math.min(18, map.getZoom() + 2) });
    return;
  }
  selected = { layer, values: layer === "units" ? units.find((unit) => unit.unit === values.unit) : values };
  if (fly && selected.values.utc_us !== null) {
    map.easeTo({ center: [selected.values.lon, selected.values.lat], zoom: Math.max(13, map.getZoom()) });
  }
  showSelected();
}

function showSelected() {
  const { layer, values } = selected;
  const rows = { units: unitRows, hits: hitRows, reads: readRows }[layer](values);
  const list = element("dl", { class: "values" });
  for (const [name, value] of rows) list.append(element("dt", {}, name), element("dd", {}, value));
  by("selected").replaceChildren(list);
  by("selected-panel").hidden = false;
}

function unitRows(unit) {
  const known = unit.utc_us !== null;
  return [
    ["Unit", own.unitPages === "yes" ? element("a", { href: unit.path }, unit.unit) : unit.unit],
    ["State", unit.reason ? `${stateOf(unit)}: ${unit.reason}` : stateOf(unit)],
    ["Last heard", unit.seen_us === null ? "never" : `${age(secondsSince(unit.seen_us))}, ${utc(unit.seen_us)}`],
    ["Position", known ? `${degrees(unit.lat, unit.lon)} ${metres(unit.error_m)}` : "none in the last day"],
    ...(known ? [["As of", `${age(secondsSince(unit.utc_us))}, ${utc(unit.utc_us)}; from its last ${unit.source === "read" ? "read" : "track point"}`]] : []),
    ...(unit.speed_mps === null ? [] : [["Speed then", `${Math.round(unit.speed_mps * 3.6)} km/h`]]),
  ];
}

function hitRows(hit) {
  return [
    ["Lead", element("a", { href: hit.path }, "Open")],
    ["List", `${hit.list_name} (${hit.list_owner})`],
    ["State", hit.state],
    ["Unit", hit.unit],
    ["Seen", `${age(secondsSince(hit.made_us))}, ${utc(hit.made_us)}`],
    ["Position", `${degrees(hit.lat, hit.lon)} ${metres(hit.error_m)}`],
  ];
}

function readRows(read) {
  return [
    ["Read", element("a", { href: read.path, class: "plate" }, read.text || "(text not kept)")],
    ["Region", read.region],
    ["Confidence", `${Math.floor(read.confidence * 100)} %`],
    ["Unit", read.unit],
    ["Seen", `${age(secondsSince(read.made_us))}, ${utc(read.made_us)}`],
    ["Position", `${degrees(read.lat, read.lon)} ${metres(read.error_m)}`],
  ];
}

function drawn(features, shape) {
  show(map, "drawn", features);
  const search = by("draw-search");
  const query = shape.query;
  by("draw-done").hidden = shape.kind !== "polygon" || shape.corners.length < 3;
  by("draw-clear").hidden = shape.kind === null && !query;
  search.hidden = !query;
  if (query && by("draw-area")) {
    by("draw-area").value = query;
    by("draw-seconds").value = by("period").value;
  }
  by("draw-note").textContent = query ? "" : {
    circle: shape.corners.length ? "Click where the circle ends." : "Click the centre of the circle.",
    polygon: "Click each corner, then Done.",
  }[shape.kind] || "";
}

function fit() {
  const placed = units.filter((unit) => unit.utc_us !== null);
  if (!placed.length) return;
  hasFitted = true;
  const lons = placed.map((unit) => unit.lon);
  const lats = placed.map((unit) => unit.lat);
  map.fitBounds([[Math.min(...lons), Math.min(...lats)], [Math.max(...lons), Math.max(...lats)]], { padding: 80, maxZoom: 12, duration: 0 });
}

begin().catch((error) => say(`The map cannot be shown in this browser: ${error.message}. The lists beside it still work.`));
