// The stream of events, and the page's own judgement of how old its data are.

const OLD_AFTER_MS = 4000;
const CHECK_MS = 250;
const RETRY_MS = 1000;
const SECTIONS = ["beat", "reads", "hits", "unit", "shift"];

// `onSection(name, document)` for each event; `onAge(seconds or null, beat, connected)` four times a second.
export function follow(onSection, onAge) {
  let lastMs = performance.now();
  let beat = null;
  let connected = false;
  let source = null;

  const open = () => {
    source = new EventSource("/events");
    source.onopen = () => { connected = true; };
    source.onerror = () => {
      connected = false;
      // A browser does not retry after a refusal; a console that was restarted does not know this page's session.
      if (source.readyState === EventSource.CLOSED) setTimeout(again, RETRY_MS);
    };
    for (const name of SECTIONS) {
      source.addEventListener(name, (event) => {
        const document = JSON.parse(event.data);
        if (name === "beat") {
          beat = document;
          // Only what the agent itself has sent counts as new.
          if (document.fresh) lastMs = performance.now();
        }
        onSection(name, document);
      });
    }
  };
  const again = async () => {
    try {
      const answer = await fetch("/session");
      if (answer.status === 401) location.reload();
      else open();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      setTimeout(again, RETRY_MS);
    }
  };
  open();
  setInterval(() => onAge((performance.now() - lastMs) / 1000, beat, connected), CHECK_MS);
  return { oldAfterS: OLD_AFTER_MS / 1000 };
}
