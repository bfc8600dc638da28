// Plates that officers have entered, with the end of the watch.

import { command, say } from "./api.js";
import { data, make, one, setList, setText, show } from "./dom.js";
import { isFilled, values } from "./forms.js";
import { clock, region, t } from "./texts.js";


export function startWatched() {
  one("#watch").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!isFilled(event.target)) return;
    const form = values(event.target);
    if (!(await command("watch_plate", { ...form, text: form.text.toUpperCase(), hours: Number(form.hours) })).ok) return;
    event.target.reset();
    say(t("watch.added"));
    await loadWatched();
  });
  one("#watching").addEventListener("toggle", (event) => event.target.open && loadWatched());
}

export function forgetWatched() {
  one("#watched").replaceChildren();
  one("#watching").open = false;
}

function build(entry) {
  const end = make("button", { type: "button" }, t("watch.end"));
  end.addEventListener("click", async () => {
    if ((await command("unwatch_plate", { entry_id: entry.entry_id })).ok) await loadWatched();
  });
  return make("li", {}, make("div", {}, data("span", "", { class: "plate" }), data("span", "", { class: "more" })), end);
}

async function loadWatched() {
  const answer = await command("watched_plates");
  if (!answer.ok) return;
  setList(one("#watched"), answer.watched, (entry) => entry.entry_id, build, (item, entry) => {
    setText(item.querySelector(".plate"), entry.text);
    const until = entry.expires_utc_us ? t("watch.until", { time: clock(entry.expires_utc_us) }) : t("watch.until_off");
    setText(item.querySelector(".more"), [region(entry.region), until, entry.reason, entry.officer].join(" · "));
  });
  show(one("#no-watched"), answer.watched.length === 0);
}
