// Asks every few seconds, while the page can be seen, how far the work on it is, and shows the whole page once that has ended.
// It does so unattended: the session of somebody who has left is not kept.
const EVERY_MS = 3000;
const WORK = "[data-refresh]";
const TOUCHED = "a, button, input, [tabindex]";

// The page as the station has it now.  Markup from a string would not pass the trusted types.
function ask() {
  return new Promise((done) => {
    const request = new XMLHttpRequest();
    request.open("GET", location.href);
    request.setRequestHeader("x-unattended", "yes");
    request.responseType = "document";
    request.onloadend = () => done(request);
    request.send();
  });
}

function put(shown, fresh) {
  if (fresh.isEqualNode(shown)) return;
  const focused = [...shown.querySelectorAll(TOUCHED)].indexOf(document.activeElement);
  shown.replaceChildren(...fresh.childNodes);
  // Whoever is about to press Stop with the keyboard still is.
  if (focused >= 0) shown.querySelectorAll(TOUCHED)[focused]?.focus();
}

// True while there is something to ask for again.
function show({ status, response: page, responseURL: address }) {
  if (status === 0) return true; // no answer: what is shown stays
  if (page === null || address !== location.href.split("#")[0]) {
    location.reload(); // the session has ended
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
