// Sets the corners of a new zone by clicks into the drawing.  The station checks them.
const drawing = document.getElementById("zones");
const corners = document.getElementById("corners");
const SVG = "http://www.w3.org/2000/svg";
const shape = document.createElementNS(SVG, "polygon");
shape.setAttribute("class", "zone new");
drawing.append(shape);
const bounds = Object.fromEntries(["south", "west", "north", "east"].map((name) => [name, Number(drawing.dataset[name])]));
const { width, height } = drawing.viewBox.baseVal;

function read() {
  return corners.value.split("\n").map((line) => line.split(/[\s,]+/).filter(Boolean).map(Number))
    .filter((pair) => pair.length === 2 && pair.every(Number.isFinite));
}

function show() {
  shape.setAttribute("points", read().map(([lat, lon]) => [
    (lon - bounds.west) / (bounds.east - bounds.west) * width,
    (bounds.north - lat) / (bounds.north - bounds.south) * height,
  ].join(",")).join(" "));
}

drawing.addEventListener("click", (event) => {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse());
  const lat = bounds.north - at.y / height * (bounds.north - bounds.south);
  const lon = bounds.west + at.x / width * (bounds.east - bounds.west);
  corners.value = [corners.value.trim(), `${lat.toFixed(6)}, ${lon.toFixed(6)}`].filter(Boolean).join("\n");
  show();
});
corners.addEventListener("input", show);
document.getElementById("undo").addEventListener("click", () => {
  corners.value = corners.value.trim().split("\n").slice(0, -1).join("\n");
  show();
});
