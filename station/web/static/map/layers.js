// What the station knows, drawn over the base map.

import { colours, isDark } from "./base_map.js";
import { collection } from "./shapes.js";

const SOURCES = ["coverage", "drawn", "clusters", "reads", "unit-errors", "units", "hit-errors", "hits"];

const palette = () => (isDark()
  ? { fresh: "#7ab8f5", old: "#f0c36d", lost: "#8f9ba6", lead: "#ff8a80", decided: "#a9b7c4", confirmed: "#7fd6a2", read: "#c9b6f5", ink: "#0c1620", drawn: "#f0c36d" }
  : { fresh: "#0a58a6", old: "#8a5600", lost: "#66737f", lead: "#b3201c", decided: "#66737f", confirmed: "#12693a", read: "#5b3fa8", ink: "#ffffff", drawn: "#8a5600" });

// Of zones, by how long units were there.
const covered = () => (isDark()
  ? { fills: ["#1d4a40", "#27705f", "#349c85", "#74d9c0"], edge: "#a5e6d5" }
  : { fills: ["#cfe9df", "#8fcdb9", "#4aa58d", "#14705c"], edge: "#0d4d40" });

export function addLayers(map) {
  const p = palette();
  const c = colours();
  for (const source of SOURCES) map.addSource(source, { type: "geojson", data: collection([]) });
  const ofAge = ["match", ["get", "age"], "fresh", p.fresh, "old", p.old, p.lost];
  const ofState = ["match", ["get", "state"], ["new", "acknowledged"], p.lead, "confirmed", p.confirmed, p.decided];
  const text = { "text-color": c.label, "text-halo-color": c.halo, "text-halo-width": 1.6 };
  const { fills: [lowest, ...higher], edge } = covered();
  const ofLevel = ["step", ["get", "level"], lowest, ...higher.flatMap((colour, n) => [n + 2, colour])];
  const [isCovered, isNot] = [">", "=="].map((sign) => ["all", ["==", ["geometry-type"], "Polygon"], [sign, ["get", "level"], 0]]);
  const layers = [
    { id: "coverage-areas", type: "fill", source: "coverage", filter: isCovered, paint: { "fill-color": ofLevel, "fill-opacity": 0.62 } },
    { id: "coverage-edges", type: "line", source: "coverage", filter: isCovered, paint: { "line-color": edge, "line-width": 1.5 } },
    { id: "coverage-bare", type: "line", source: "coverage", filter: isNot, paint: { "line-color": edge, "line-width": 2, "line-dasharray": [2, 2] } },
    { id: "coverage-names", type: "symbol", source: "coverage", filter: ["==", ["geometry-type"], "Point"], layout: { "text-field": ["get", "label"], "text-size": 12, "text-anchor": "top", "text-offset": [0, 0.3] }, paint: text },
    { id: "drawn-area", type: "fill", source: "drawn", filter: ["==", ["geometry-type"], "Polygon"], paint: { "fill-color": p.drawn, "fill-opacity": 0.15 } },
    { id: "drawn-line", type: "line", source: "drawn", paint: { "line-color": p.drawn, "line-width": 2.5 } },
    { id: "drawn-corners", type: "circle", source: "drawn", filter: ["==", ["geometry-type"], "Point"], paint: { "circle-radius": 5, "circle-color": p.drawn } },
    {
      id: "clusters", type: "circle", source: "clusters",
      paint: {
        "circle-color": p.read, "circle-opacity": 0.78,
        "circle-radius": ["interpolate", ["linear"], ["ln", ["get", "count"]], 0, 9, 4, 16, 8.5, 30],
      },
    },
    { id: "cluster-counts", type: "symbol", source: "clusters", layout: { "text-field": ["to-string", ["get", "count"]], "text-size": 12, "text-allow-overlap": true }, paint: { "text-color": p.ink } },
    { id: "reads", type: "circle", source: "reads", paint: { "circle-radius": 5, "circle-color": p.read, "circle-stroke-color": p.ink, "circle-stroke-width": 1 } },
    { id: "read-texts", type: "symbol", source: "reads", minzoom: 14, layout: { "text-field": ["get", "text"], "text-size": 11, "text-offset": [0, 1.1], "text-anchor": "top" }, paint: text },
    { id: "unit-errors", type: "fill", source: "unit-errors", paint: { "fill-color": ofAge, "fill-opacity": 0.16, "fill-outline-color": ofAge } },
    { id: "units", type: "circle", source: "units", paint: { "circle-radius": 8, "circle-color": ofAge, "circle-stroke-color": p.ink, "circle-stroke-width": 2 } },
    { id: "unit-names", type: "symbol", source: "units", layout: { "text-field": ["get", "label"], "text-size": 13, "text-variable-anchor": ["top", "bottom", "left", "right"], "text-radial-offset": 0.9, "text-justify": "auto", "text-allow-overlap": false }, paint: text },
    { id: "hit-errors", type: "fill", source: "hit-errors", paint: { "fill-color": ofState, "fill-opacity": 0.14, "fill-outline-color": ofState } },
    { id: "hits", type: "circle", source: "hits", paint: { "circle-radius": 10, "circle-color": ofState, "circle-stroke-color": p.ink, "circle-stroke-width": 2 } },
    { id: "hit-signs", type: "symbol", source: "hits", layout: { "text-field": ["get", "sign"], "text-size": 13, "text-allow-overlap": true }, paint: { "text-color": p.ink } },
  ];
  for (const layer of layers) map.addLayer(layer);
}

export function show(map, source, features) {
  map.getSource(source).setData(collection(features));
}
