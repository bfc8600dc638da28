// What an eye and a finger find on the page: run in the page by the tests.
() => {
  const visible = (element) => element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && element.getClientRects().length > 0;
  const rgb = (text) => {
    const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
    return { r, g, b, a };
  };
  const luminance = ({ r, g, b }) => {
    const part = (c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour.a === 1) return colour;
    }
    return { r: 255, g: 255, b: 255 };
  };
  const contrast = (element) => {
    const [high, low] = [luminance(rgb(getComputedStyle(element).color)), luminance(ground(element))].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const name = (element) => `${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ""}.${element.className} ${element.textContent.trim().slice(0, 24)}`;
  // Behind a full-screen view nothing can be touched.
  const front = [...document.querySelectorAll("#hit, .sheet")].find(visible) ?? document.body;
  const targets = [...front.querySelectorAll("button, a, input, select, textarea, summary")].filter(visible);
  const texts = [];
  const walker = document.createTreeWalker(front, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.textContent.trim() && visible(node.parentElement) && !node.parentElement.closest("option, script, style")) texts.push(node);
  }
  const words = texts.filter((node) => !node.parentElement.closest("[data-value]"))
    .flatMap((node) => node.textContent.trim().split(/\s+/)).filter((word) => /\p{L}/u.test(word));
  const inside = (element) => {
    const box = element.getBoundingClientRect();
    return box.left >= -1 && box.top >= -1 && box.right <= innerWidth + 1 && box.bottom <= innerHeight + 1;
  };
  const clipped = (element) => element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
  return {
    smallTargets: targets.filter((e) => { const b = e.getBoundingClientRect(); return b.width < 75.9 || b.height < 75.9; }).map(name),
    smallTexts: texts.map((n) => n.parentElement).filter((e) => parseFloat(getComputedStyle(e).fontSize) < 24).map(name),
    smallPlates: [...front.querySelectorAll(".plate")].filter(visible).filter((e) => !e.matches("input") && parseFloat(getComputedStyle(e).fontSize) < 32).map(name),
    lowContrast: Object.fromEntries(texts.map((n) => [name(n.parentElement), contrast(n.parentElement)]).filter(([, c]) => c < 5)),
    outside: targets.filter((e) => !inside(e)).map(name),
    clipped: [...front.querySelectorAll("button, a, dd.plate, #hit-reason")].filter(visible).filter(clipped).map(name),
    scrolls: { page: document.documentElement.scrollWidth > innerWidth || document.documentElement.scrollHeight > innerHeight, front: front === document.body ? false : front.scrollHeight > front.clientHeight + 1 },
    wide: document.documentElement.scrollWidth > innerWidth,
    words,
    targetBoxes: targets.map((e) => { const b = e.getBoundingClientRect(); return [b.left, b.right]; }),
  };
}
