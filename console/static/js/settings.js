// This terminal's language and colours; the technician's mask and rotation, drawn on the camera's picture.

import { command, say, setting } from "./api.js";
import { all, make, one, setAttribute, setList, setText } from "./dom.js";
import { t } from "./texts.js";

const MAX_POINTS = 32;
let points = [];
let degrees = 0;
// Rotation and area of each camera as they are on the unit.
let mountings = new Map();

export function startSettings(onPassenger) {
  all("[data-setting]").forEach((button) => button.addEventListener("click", async () => {
    if ((await setting({ [button.dataset.setting]: button.dataset.choice })).ok) location.reload();
  }));
  for (const [id, is] of [["#passenger-yes", true], ["#passenger-no", false]]) {
    one(id).addEventListener("click", () => {
      setAttribute(one("#passenger-yes"), "aria-pressed", String(is));
      setAttribute(one("#passenger-no"), "aria-pressed", String(!is));
      onPassenger(is);
    });
  }
  const svg = one("#canvas svg");
  svg.addEventListener("pointerdown", (event) => {
    const box = svg.getBoundingClientRect();
    const share = (value, from, size) => Math.min(1, Math.max(0, Math.round(((value - from) / size) * 1000) / 1000));
    if (points.length < MAX_POINTS) points.push([share(event.clientX, box.left, box.width), share(event.clientY, box.top, box.height)]);
    draw();
  });
  one("#mask-undo").addEventListener("click", () => { points.pop(); draw(); });
  one("#mask-clear").addEventListener("click", () => { points = []; draw(); });
  one("#mask-save").addEventListener("click", () => save("set_mask", { polygon: points }));
  one("#rotate").addEventListener("click", () => { degrees = (degrees + 90) % 360; draw(); });
  one("#rotate-save").addEventListener("click", () => save("set_rotation", { degrees }));
  one("#mask-camera").addEventListener("change", load);
}

async function save(verb, body) {
  if (!(await command(verb, { camera: one("#mask-camera").value, ...body })).ok) return;
  await load();
  say(t("settings.saved"));
}

const present = () => mountings.get(one("#mask-camera").value) ?? { degrees: 0, polygon: [] };

function draw() {
  setAttribute(one("#canvas polygon"), "points", points.map((point) => point.join(",")).join(" "));
  setText(one("#rotate b"), `${degrees}°`);
  // The picture is turned already by what is set.
  const more = (degrees - present().degrees + 360) % 360;
  one("#canvas img").style.transform = more ? `rotate(${more}deg)` : "";
}

// The picture, and what is set: an area that is saved replaces the one that is drawn here.
export async function load() {
  const name = one("#mask-camera").value;
  if (!name) return;
  const answer = await command("mountings", {}, true);
  if (answer.ok) mountings = new Map(answer.cameras.map((camera) => [camera.camera, camera]));
  points = present().polygon.map((point) => [...point]);
  degrees = present().degrees;
  draw();
  one("#canvas img").src = `/cameras/${name}/picture?${Date.now()}`;
}

export function drawSettings(unit) {
  setList(one("#mask-camera"), unit.cameras ?? [], (camera) => camera.name, (camera) => make("option", { value: camera.name }, camera.name), () => undefined);
}
