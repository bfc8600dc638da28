// Times, distances and places as the page says them.

export function age(seconds) {
  if (seconds < 0) return "in the future: a clock is wrong";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export function duration(minutes) {
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return minutes % 60 === 0 || hours >= 100 ? `${hours.toLocaleString("en")} h` : `${hours} h ${minutes % 60} min`;
}

export function utc(us) {
  return `${new Date(us / 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

export function clock(us) {
  return `${new Date(us / 1000).toISOString().slice(11, 19)} UTC`;
}

export function metres(value) {
  if (value === null || value === undefined) return "error unknown";
  return value < 10 ? `±${value.toFixed(1)} m` : `±${Math.round(value).toLocaleString("en")} m`;
}

export function degrees(lat, lon) {
  return `${lat.toFixed(5)} ${lon.toFixed(5)}`;
}

export function element(name, values = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(values)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}
