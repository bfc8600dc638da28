// The unit in words: what its lamps say, and a live picture for aiming and focus.

import { data, make, one, setAttribute, setList, setText, show } from "./dom.js";
import { age, camera as place, known, t } from "./texts.js";

const PERIOD_MS = 500;
const PROBLEMS = ["blinded", "dirty", "moved", "frozen", "damaged", "upside_down"];
let live = null;
let timer = 0;

const cameraProblem = (camera) => {
  if (!camera.ready) return "loading";
  if (!camera.ok) return "missing";
  return PROBLEMS.find((name) => camera[name]) ?? "ok";
};

function facts(unit) {
  const { fix, link, outbox, lists, disk, heat } = unit;
  const rows = [[t("unit.lamp"), known(`lamp.${unit.lamp}`, t("lamp.unknown")), unit.lamp === "recording" ? "good" : "bad"]];
  if (!fix) rows.push([t("unit.position"), t("unit.no_fix"), "bad"]);
  else if (fix.found) rows.push([t("unit.position"), t("unit.fix", { n: fix.error_m ?? "?", satellites: fix.satellites ?? "?" }), "good"]);
  else rows.push([t("unit.position"), t("unit.fix_old", { age: age(fix.age_ms / 1000) }), "bad"]);
  if (link) rows.push([t("unit.link"), t(link.up ? (link.metered ? "unit.link_metered" : "unit.link_up") : "unit.link_down"), link.up ? "good" : "bad"]);
  if (outbox) {
    rows.push([t("unit.outbox"), t("unit.outbox_value", {
      reads: outbox.reads_waiting, pictures: outbox.plates_waiting + outbox.overviews_waiting, mib: (outbox.used_bytes / 1048576).toFixed(0),
    }), ""]);
    if (outbox.quarantined) rows.push(["", t("unit.quarantined", { n: outbox.quarantined }), "bad"]);
  }
  const free = disk?.free_bytes;
  if (typeof free === "number") rows.push([t("unit.disk"), t("unit.disk_free", { n: (free / 2 ** 30).toFixed(1) }), disk.low ? "bad" : "good"]);
  const celsius = heat?.temperature_c;
  if (typeof celsius === "number") rows.push([t("unit.heat"), `${celsius.toFixed(0)} °C`, heat.slow ? "bad" : "good"]);
  if (lists) {
    if (lists.length === 0) rows.push([t("unit.lists"), t("unit.no_lists"), ""]);
    for (const list of lists) {
      const value = t("unit.list_value", { entries: list.entries, age: list.age_s === null ? t("unit.unknown") : age(list.age_s) });
      rows.push([list.name, list.stale ? `${value} · ${t("unit.stale")}` : value, list.stale ? "bad" : "good"]);
    }
  }
  if (unit.policy) rows.push([t("unit.policy"), `${unit.policy.id} ${unit.policy.version}`, ""]);
  rows.push([t("unit.unit"), `${unit.unit ?? "?"} · ${unit.software ?? "?"}`, ""]);
  return rows;
}

export function drawUnit(unit) {
  setList(one("#unit-facts"), facts(unit).map((row, i) => [...row, i]), (row) => `${row[3]}`, () => make("div", { class: "row" }, make("dt"), data("dd", "")), (item, [name, value, mark]) => {
    setText(item.children[0], name);
    setText(item.children[1], value);
    item.children[1].className = mark;
  });
  setList(one("#cameras"), unit.cameras ?? [], (camera) => camera.name, (camera) => {
    const button = make("button", { type: "button" }, data("span", ""), data("span", ""));
    button.addEventListener("click", () => watch(live === camera.name ? null : camera.name));
    return make("li", {}, button);
  }, (item, camera) => {
    const button = item.children[0];
    const problem = cameraProblem(camera);
    setText(button.children[0], [...new Set([camera.name, place(camera.role)])].join(" · "));
    setText(button.children[1], `${t(`unit.${problem}`)} · ${t("unit.fps", { n: camera.fps })}`);
    button.children[1].className = problem === "ok" ? "good" : "bad";
    setAttribute(button, "aria-pressed", String(live === camera.name));
  });
}

// The next picture is asked for when the last one has come: a slow unit is not asked faster than it can answer.
export function watch(name) {
  live = name;
  clearTimeout(timer);
  show(one("#live"), name !== null);
  if (name === null) return;
  setText(one("#live figcaption"), name);
  const image = one("#live img");
  let first = true;
  const next = () => {
    timer = setTimeout(() => {
      if (live === name) image.src = `/cameras/${name}/picture?${Date.now()}`;
    }, PERIOD_MS);
  };
  image.onload = () => {
    if (first) one("#live").scrollIntoView({ block: "end" });
    first = false;
    next();
  };
  image.onerror = next;
  image.src = `/cameras/${name}/picture?${Date.now()}`;
}
