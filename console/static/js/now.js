// The latest reads.

import { data, make, one, setAttribute, setList, setPicture, setText, show } from "./dom.js";
import { age, camera, clock, distance, known, percent, region, t } from "./texts.js";

const UNSURE_BELOW = 0.9;

function build() {
  return make("li", {}, make("img", { alt: "", width: 168, height: 76, loading: "lazy" }), data("span", "", { class: "plate" }),
    data("span", "", { class: "more" }), make("div", { class: "side" }, data("span", "", { class: "region" }), data("span", "", { class: "sure" })));
}

function update(item, read, nowUs, hits) {
  setPicture(one("img", item), `/pictures/read/${read.read_id}/plate`);
  setText(one(".plate", item), read.text);
  const age_s = (nowUs - read.mono_us) / 1e6;
  setText(one(".more", item), [age(age_s), camera(read.camera_role), distance(read.distance_m, read.bearing_deg)].join(" · "));
  setText(one(".region", item), region(read.region));
  const sure = one(".sure", item);
  setText(sure, read.single_frame ? t("now.single") : percent(read.confidence));
  sure.classList.toggle("unsure", read.single_frame || read.confidence < UNSURE_BELOW);
  item.classList.toggle("hit", hits.has(read.read_id));
}

export function drawReads(reads, nowUs, hits) {
  setList(one("#reads"), reads, (read) => read.read_id, build, (item, read) => update(item, read, nowUs, hits));
  show(one("#no-reads"), reads.length === 0);
}

export function drawStrip(beat) {
  const lamp = one("#now .lamp");
  setText(lamp, known(`lamp.${beat.lamp}`, t("lamp.unknown")));
  setAttribute(lamp, "data-lamp", beat.lamp ?? "");
  setText(one("#now .clock"), beat.utc_us ? clock(beat.utc_us) : "");
}
