// Forms: their values, and what is missing, said in the page's language and colours instead of the browser's.

import { say } from "./api.js";
import { all } from "./dom.js";
import { t } from "./texts.js";

// A line as the unit takes it: spaces of other widths are spaces, signs that cannot be seen are none.
const cleaned = (line) => line.replace(/\s/gu, " ").replace(/\p{C}/gu, "").trim();

export const values = (form) => Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.split("\n").map(cleaned).join("\n")]));
export const listOf = (text) => text.split(",").map((part) => part.trim()).filter(Boolean);

// Whether all that is required is there; if not, says so and goes to the first field that is empty.
export function isFilled(form) {
  const empty = all("input[required]", form).find((input) => !input.disabled && input.value.trim() === "");
  if (!empty) return true;
  const label = empty.closest("label").firstChild.textContent.trim();
  say(t("error.missing", { field: label }));
  empty.focus();
  return false;
}
