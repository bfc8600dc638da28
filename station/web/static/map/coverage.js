// Zones by how long units were in them: a layer of the map with its legend, and the same as a table.

import { show } from "./layers.js";
import { feature, point } from "./shapes.js";
import { duration, element, utc } from "./words.js";

const STEPS_MIN = [1, 5, 15, 30, 60, 120, 240, 480, 960];
const CLASSES = 4;

// The width of a class in minutes, so that the longest time is in the last one.
export function stepOf(longest) {
  const found = STEPS_MIN.find((step) => step * CLASSES >= longest);
  return found ?? Math.ceil(longest / CLASSES / 1440) * 1440;
}

export class Coverage {
  constructor(map, ask, period) {
    this.map = map;
    this.ask = ask;
    this.period = period;
    this.panel = document.getElementById("coverage-panel");
    this.box = document.getElementById("show-coverage");
    this.wanted = 0;
    this.box.addEventListener("change", () => this.look());
  }

  async look() {
    this.wanted += 1;
    const mine = this.wanted;
    this.panel.hidden = !this.box.checked;
    if (!this.box.checked) {
      show(this.map, "coverage", []);
      return;
    }
    const note = document.getElementById("coverage-note");
    try {
      const told = await this.ask("/api/1/map/coverage", new URLSearchParams(this.period()));
      if (mine !== this.wanted) return;
      this.tell(told);
      note.textContent = `${utc(told.since_us)} to ${utc(told.until_us)}, whole hours.`;
    } catch (error) {
      if (mine === this.wanted) note.textContent = `Not up to date: ${error.message}`;
    }
  }

  tell({ zones, outside, everything }) {
    const step = stepOf(Math.max(0, ...zones.map((zone) => zone.minutes)));
    const level = (minutes) => Math.min(CLASSES, Math.ceil(minutes / step));
    show(this.map, "coverage", zones.flatMap((zone) => {
      const ring = [...zone.corners, zone.corners[0]].map(([lat, lon]) => [lon, lat]);
      const { west, north, east } = boundsOf(zone);
      return [
        feature({ type: "Polygon", coordinates: [ring] }, { level: level(zone.minutes) }),
        point((west + east) / 2, north, { label: `${zone.name}\n${said(zone)}` }),
      ];
    }));
    const bounds = ["no time", ...Array.from({ length: CLASSES }, (_, n) => `up to ${duration(step * (n + 1))}`)];
    document.getElementById("coverage-legend").replaceChildren(...bounds.map((text, n) => element(
      "li", {}, element("span", { class: `area level-${n}` }), text,
    )));
    const others = [[{ name: "outside all zones", ...outside }, null], [{ name: "everything", ...everything }, null]];
    document.getElementById("coverage-rows").replaceChildren(
      ...[...zones.map((zone) => [zone, () => this.goTo(zone)]), ...others].map(([row, go]) => element(
        "tr", {},
        element("th", { scope: "row" }, go ? element("button", { type: "button", class: "link", onclick: go }, row.name) : row.name),
        element("td", { class: "number nowrap" }, duration(row.minutes)),
        element("td", { class: "number" }, row.reads.toLocaleString("en")),
      )),
    );
    this.map.once("idle", () => { document.getElementById("map").dataset.coverage = String(zones.length); });
  }

  goTo(zone) {
    const { south, west, north, east } = boundsOf(zone);
    this.map.fitBounds([[west, south], [east, north]], { padding: 40, maxZoom: 15, duration: 0 });
  }
}

function boundsOf({ corners }) {
  const [lats, lons] = [corners.map(([lat]) => lat), corners.map(([, lon]) => lon)];
  return { south: Math.min(...lats), west: Math.min(...lons), north: Math.max(...lats), east: Math.max(...lons) };
}

function said(zone) {
  return zone.minutes || zone.reads ? `${duration(zone.minutes)}, ${zone.reads.toLocaleString("en")} reads` : "nobody was there";
}
