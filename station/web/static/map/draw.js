// Draws a circle or a polygon, and hands it over to the search.

import { circle, distanceM, feature, wrapped } from "./shapes.js";

const MAX_RADIUS_M = 100000;
const MAX_CORNERS = 100;

export class Drawing {
  constructor(map, onChange) {
    this.map = map;
    this.onChange = onChange;
    this.kind = null;
    this.corners = [];
    map.on("click", (event) => this.add([event.lngLat.lng, event.lngLat.lat]));
    map.on("mousemove", (event) => this.move([event.lngLat.lng, event.lngLat.lat]));
  }

  get isDrawing() { return this.kind !== null; }

  start(kind) {
    this.kind = kind;
    this.corners = [];
    this.done = null;
    this.map.doubleClickZoom.disable();
    this.tell();
  }

  clear() {
    this.kind = null;
    this.corners = [];
    this.done = null;
    this.map.doubleClickZoom.enable();
    this.tell();
  }

  add(position) {
    if (!this.isDrawing || this.corners.length >= MAX_CORNERS) return;
    this.corners.push(position);
    if (this.kind === "circle" && this.corners.length === 2) this.finish();
    else this.tell();
  }

  move(position) {
    this.pointer = position;
    if (this.isDrawing && this.corners.length) this.tell();
  }

  finish() {
    if (this.kind === "circle" && this.corners.length === 2) {
      const radius = Math.min(MAX_RADIUS_M, Math.max(1, distanceM(...this.corners)));
      this.done = { kind: "circle", centre: this.corners[0], radius };
    } else if (this.kind === "polygon" && this.corners.length >= 3) {
      this.done = { kind: "polygon", corners: this.corners };
    } else return;
    this.kind = null;
    this.map.doubleClickZoom.enable();
    this.tell();
  }

  // Latitude first, as the search takes it.
  get query() {
    if (!this.done) return null;
    const said = ([lon, lat]) => `${lat.toFixed(6)},${wrapped(lon).toFixed(6)}`;
    if (this.done.kind === "circle") return ["near", `${said(this.done.centre)},${Math.round(this.done.radius)}`];
    return ["area", this.done.corners.map(said).join(";")];
  }

  tell() {
    const shape = this.done ? shapeOf(this.done) : null;
    const shown = shape ? [feature(shape)] : this.corners.map((c) => feature({ type: "Point", coordinates: c }));
    if (!shape && this.corners.length) {
      const to = this.pointer ? [...this.corners, this.pointer] : this.corners;
      if (this.kind === "circle" && to.length > 1) shown.push(feature(circle(to[0], distanceM(to[0], to[1]))));
      else if (to.length > 1) shown.push(feature({ type: "LineString", coordinates: to }));
    }
    this.onChange(shown, this);
  }
}

function shapeOf(done) {
  if (done.kind === "circle") return circle(done.centre, done.radius);
  return { type: "Polygon", coordinates: [[...done.corners, done.corners[0]]] };
}
