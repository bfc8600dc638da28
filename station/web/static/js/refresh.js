// Loads the page again every few seconds while something is being worked on and the page can be seen.
const EVERY_MS = 3000;

function look() {
  if (!document.hidden && document.querySelector("[data-refresh]")) location.reload();
}

if (document.querySelector("[data-refresh]")) setInterval(look, EVERY_MS);
