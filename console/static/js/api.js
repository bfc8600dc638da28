// Requests to the console: as our own page, each one once.

import { known, t } from "./texts.js";
import { one, setText, show } from "./dom.js";

const MESSAGE_MS = 5000;
const REFUSED = { 413: "too_large", 429: "busy" };
let hide = 0;

export function say(text) {
  const message = one("#message");
  setText(message, text);
  show(message, true);
  clearTimeout(hide);
  hide = setTimeout(() => show(message, false), MESSAGE_MS);
}

async function post(address, body) {
  const headers = {
    "content-type": "application/json",
    "x-csrf-token": one("meta[name=csrf]").content,
    "x-request-id": Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join(""),
  };
  try {
    const answer = await fetch(address, { method: "POST", headers, body: JSON.stringify(body) });
    const type = answer.headers.get("content-type") ?? "";
    // What the console refuses before it looks at it is not JSON.
    if (!type.startsWith("application/json")) return { ok: false, error: REFUSED[answer.status] ?? "unavailable", message: String(answer.status) };
    const result = await answer.json();
    return answer.ok ? { ...result, ok: true } : result;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { ok: false, error: "unavailable", message: "" };
  }
}

// Sends a command; what was refused is said on the page, unless nobody has asked for it.
export async function command(verb, body = {}, quiet = false) {
  // What was said about the last one is not about this one.
  if (!quiet) show(one("#message"), false);
  const answer = await post(`/commands/${verb}`, body);
  if (!answer.ok && !quiet) {
    say(known(`error.${answer.error}`, t("error.refused", { message: answer.message ?? answer.error }), answer));
  }
  return answer;
}

export const setting = (body) => post("/settings", body);
