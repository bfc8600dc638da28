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
    const answer = await command("watch_plate", { ...form, text: form.text.toUpperCase(), hours: Number(form.hours) });
    if (!answer.ok) return;
    event.target.reset();
    drawMatches(answer.matches ?? []);
    await loadWatched();
    say(t(answer.matches?.length ? "watch.listed" : "watch.added"));
  });
  one("#watching").addEventListener("toggle", (event) => event.target.open && loadWatched());
}

// The plate is on a list already: that is why it was typed.
function drawMatches(matches) {
  setList(one("#watch-matches"), matches, (match) => `${match.list_id} ${match.entry_id}`, () => make("li", {}, data("span", "", { class: "plate" }), data("span", "", { class: "more" })), (item, match) => {
    setText(item.querySelector(".plate"), match.text);
    const vehicle = [match.colour, match.year, match.make, match.model].filter(Boolean).join(" ");
    setText(item.querySelector(".more"), [region(match.region), match.reason, vehicle, match.list_name, match.owner].filter(Boolean).join(" · "));
  });
}

export function forgetWatched() {
  drawMatches([]);
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
