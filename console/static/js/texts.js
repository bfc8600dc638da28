// Texts of the page's language, and values in words.

const RETRY_MS = 1000;
let catalogue = {};

// For ever: a page without words would say nothing of its own failure.
export async function loadTexts() {
  for (;;) {
    try {
      const answer = await fetch(`/texts/${document.documentElement.lang}.json`);
      if (answer.ok) {
        catalogue = await answer.json();
        return;
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
}

export function t(key, values = {}) {
  const text = catalogue[key];
  if (text === undefined) throw new Error(`no text ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

export const known = (key, other, values) => (key in catalogue ? t(key, values) : other);

export function age(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 100) return t("now.ago_s", { n: s });
  if (s < 6000) return t("now.ago_min", { n: Math.round(s / 60) });
  if (s < 360000) return t("now.ago_h", { n: Math.round(s / 3600) });
  return t("now.ago_d", { n: Math.round(s / 86400) });
}

// Hours and minutes.
export const duration = (seconds) => `${Math.floor(seconds / 3600)}:${String(Math.floor(seconds / 60) % 60).padStart(2, "0")}`;

const POINTS = ["n", "ne", "e", "se", "s", "sw", "w", "nw"];

export function distance(metres, degrees) {
  if (metres === null || degrees === null || metres === undefined) return t("now.no_place");
  const direction = t(`direction.${POINTS[Math.round(degrees / 45) % 8]}`);
  if (metres < 1000) return t("now.distance_m", { n: Math.round(metres / 10) * 10, direction });
  return t("now.distance_km", { n: (metres / 1000).toFixed(1), direction });
}

export const region = (code) => (code && code !== "?" ? code : t("now.unknown_region"));
export const percent = (share) => `${Math.floor(share * 100)} %`;
export const camera = (role) => known(`camera.${role}`, role);

// Hours and minutes of the terminal's time zone, 0 to 23 h.
export const clock = (utcUs) => new Date(utcUs / 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
