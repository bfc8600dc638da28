// Asks every few seconds, while the page can be seen, how far the work on it is, and shows the whole page once that has ended.
// It does so unattended: the session of somebody who has left is not kept.
const EVERY_MS = 3000;
const WORK = "[data-refresh]";
const REST_MS = 1000;
const TOUCHED = "a, button, input, [tabindex]";
// A page that answers a form has the form's address, which shows nothing when it is asked for.
const own = document.querySelector(WORK)?.dataset.refresh;
const ADDRESS = own ? new URL(own, location.href).href : location.href.split("#")[0];

let movedMs = -Infinity;

// The page as the station has it now.  Markup from a string would not pass the trusted types.
function ask() {
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open("GET", ADDRESS);
    request.setRequestHeader("x-unattended", "yes");
    request.responseType = "document";
    request.onloadend = () => done(request);
    request.send();
  });
}

// What a button or link does, not where it is: a row can have come above it meanwhile.
const does = (element) => [element.tagName, element.form?.getAttribute("action") ?? element.getAttribute("href"), element.name, element.textContent.trim()].join(" ");

const buttons = (shown) => [...shown.querySelectorAll("button")].map(does).join("\n");

// A finger on its way to a button must not press what has come to its place.
addEventListener("click", (event) => {
  if (performance.now() - movedMs > REST_MS || !event.target.closest("main button")) return;
  event.preventDefault();
  event.stopPropagation();
}, true);

function put(shown, fresh) {
  if (fresh.isEqualNode(shown)) return;
  const focused = shown.contains(document.activeElement) ? does(document.activeElement) : null;
  const before = buttons(shown);
  shown.replaceChildren(...fresh.childNodes);
  if (buttons(shown) !== before) movedMs = performance.now();
  // Whoever is about to press Stop with the keyboard still is.
  if (focused !== null) [...shown.querySelectorAll(TOUCHED)].find((element) => does(element) === focused)?.focus();
}

// True while there is something to ask for again.
function show({ status, response: page, responseURL: address }) {
  if (status === 0) return true; // no answer: what is shown stays
  if (page === null || address !== ADDRESS) {
    location.replace(ADDRESS); // the session has ended
    return false;
  }
  const fresh = page.querySelector(WORK);
  if (fresh !== null) put(document.querySelector(WORK), fresh);
  else document.querySelector("main").replaceChildren(...page.querySelector("main").childNodes);
  return fresh !== null;
}

async function follow() {
  do await new Promise((done) => setTimeout(done, EVERY_MS));
  while (document.hidden || show(await ask()));
}

if (document.querySelector(WORK)) follow();
