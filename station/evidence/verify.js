// Verifies the evidence package of this page: the same checks as station/evidence/examine.py, by WebCrypto alone.
// It is placed behind noble-ed25519, whose verifyAsync is used only if this browser has no Ed25519 of its own.
(() => {
  const LINK = "patrol-lpr link/1\0";
  const PACKAGE = "patrol-lpr package/1\0";
  const UTF8 = new TextEncoder();
  const problems = [];
  const passed = [];
  let ownEd25519 = false;

  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const hex = (data) => Array.from(data, (b) => b.toString(16).padStart(2, "0")).join("");
  const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
  const sha256 = async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data));
  const join = (...parts) => {
    const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
    return all;
  };
  const big = (number) => {
    const out = new Uint8Array(8);
    new DataView(out.buffer).setBigUint64(0, BigInt(number));
    return out;
  };

  async function isSigned(raw, signature, message) {
    try {
      const key = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
      return await crypto.subtle.verify("Ed25519", key, signature, message);
    } catch (error) {
      if (error.name !== "NotSupportedError") return false;
    }
    ownEd25519 = true;
    try {
      return await verifyAsync(signature, message, raw, { zip215: false });
    } catch {
      return false;
    }
  }

  // One value of MessagePack; numbers are BigInt, texts String, bytes Uint8Array.
  function unpack(data) {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    let at = 0;
    const uint = (size) => {
      let value = 0n;
      for (let i = 0; i < size; i += 1) value = (value << 8n) | BigInt(view.getUint8(at++));
      return value;
    };
    const take = (size) => {
      if (at + size > data.length) throw new Error("the record ends too early");
      at += size;
      return data.subarray(at - size, at);
    };
    const text = (size) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(take(size));
    const list = (size) => Array.from({ length: size }, one);
    const map = (size) => new Map(Array.from({ length: size }, () => [one(), one()]));
    function one() {
      const tag = view.getUint8(at++);
      if (tag <= 0x7f) return BigInt(tag);
      if (tag <= 0x8f) return map(tag & 0x0f);
      if (tag <= 0x9f) return list(tag & 0x0f);
      if (tag <= 0xbf) return text(tag & 0x1f);
      if (tag >= 0xe0) return BigInt(tag) - 256n;
      switch (tag) {
        case 0xc0: return null;
        case 0xc2: return false;
        case 0xc3: return true;
        case 0xc4: case 0xc5: case 0xc6: return take(Number(uint(1 << (tag - 0xc4))));
        case 0xcc: case 0xcd: case 0xce: case 0xcf: return uint(1 << (tag - 0xcc));
        case 0xd0: case 0xd1: case 0xd2: case 0xd3: {
          const size = 1 << (tag - 0xd0);
          return BigInt.asIntN(8 * size, uint(size));
        }
        case 0xd9: case 0xda: case 0xdb: return text(Number(uint(1 << (tag - 0xd9))));
        case 0xdc: case 0xdd: return list(Number(uint(2 << (tag - 0xdc))));
        case 0xde: case 0xdf: return map(Number(uint(2 << (tag - 0xde))));
        default: throw new Error("the record has an unknown kind of value");
      }
    }
    const found = one();
    if (at !== data.length) throw new Error("the record goes on after its end");
    return found;
  }

  // Formats: the same as in station/evidence/values.py.
  const HIDDEN = new RegExp(
    "[\\x00-\\x1f\\x7f-\\x9f\\xad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\uffff" +
      "\\u{e0000}-\\u{e007f}]", "gu");
  const printed = (text) => text.replace(HIDDEN, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
  const scaled = (value, digits, unit) => {
    const size = value < 0n ? -value : value;
    const step = 10n ** BigInt(digits);
    return `${value < 0n ? "-" : ""}${size / step}.${String(size % step).padStart(digits, "0")}${unit}`;
  };
  const percent = (value) => scaled(value, 2, " %");
  const utc = (value) => {
    if (value < 0n || value > 253402300799999999n) return `${value} us`;
    const micros = String(value % 1000000n).padStart(6, "0");
    return `${new Date(Number(value / 1000000n) * 1000).toISOString().slice(0, 19).replace("T", " ")}.${micros} UTC`;
  };
  const FORMS = {
    text: (v) => (v ? printed(String(v)) : "none"),
    list: (v) => v.map((one) => printed(String(one))).join("; ") || "none",
    int: String,
    percent,
    utc,
    due: (v) => (v ? utc(v) : "none"),
    degrees: (v) => scaled(v, 7, "°"),
    centimetres: (v) => scaled(v, 2, " m"),
    centimetres_per_s: (v) => scaled(v, 2, " m/s"),
    centidegrees: (v) => scaled(v, 2, "°"),
    milliseconds: (v) => `${v} ms`,
    flag: (v) => (v ? "yes" : "no"),
    bytes: (v) => hex(v) || "none",
    texts: (v) => v.map(([text, share]) => `${printed(text)} (${percent(share)})`).join("; ") || "none",
    box: (v) => `${v[0]}, ${v[1]} to ${v[2]}, ${v[3]}`,
    size: (v) => `${v[0]} x ${v[1]}`,
  };
  const valueAt = (fields, path) =>
    path.split(".").reduce((found, name) => (found instanceof Map ? found.get(name) : undefined), fields);

  function check(holds, good, bad, element) {
    if (holds) {
      passed.push(good);
      return;
    }
    problems.push(bad);
    element?.classList.add("altered");
  }

  async function readRecord(told, keys) {
    const record = bytes(told.record);
    const fields = unpack(record);
    const prev = bytes(told.prev);
    const keyId = unhex(told.key_id);
    const digest = await sha256(join(bytes(told.salt), record));
    const unit = UTF8.encode(told.unit);
    const link = await sha256(join(UTF8.encode(LINK), big(told.seq), prev, digest, keyId, unit));
    let signed = false;
    for (const key of keys) {
      if (key.unit !== told.unit) continue;
      const raw = bytes(key.key);
      const isThis = same((await sha256(raw)).subarray(0, 8), keyId);
      if (isThis && (await isSigned(raw, bytes(told.signature), link))) signed = true;
    }
    const seq = BigInt(told.seq);
    const named = fields.get("dev") === told.unit && fields.get("seq") === seq;
    return { told, fields, seq, link, prev, holds: signed && named };
  }

  const nameOf = (record) => `${record.told.about} (record ${record.told.seq} of ${record.told.unit})`;

  function checkValues(records) {
    for (const cell of document.querySelectorAll("td[data-record]")) {
      const record = records[Number(cell.dataset.record)];
      const label = cell.previousElementSibling?.textContent ?? "";
      let text;
      try {
        const value = valueAt(record.fields, cell.dataset.path);
        text = value === null ? "not known" : FORMS[cell.dataset.form](value);
      } catch {
        text = undefined;
      }
      check(cell.textContent === text, "", `Altered text: "${label}" of ${record ? nameOf(record) : "no record"}`, cell);
    }
  }

  async function checkPictures(told, records) {
    const listed = new Set();
    for (const record of records) {
      for (const picture of record.fields.get("img") ?? []) {
        if (record.holds) listed.add(hex(picture.get("sha")));
      }
    }
    for (const image of document.querySelectorAll("img[data-picture]")) {
      const found = hex(await sha256(bytes(image.src.slice(image.src.indexOf(",") + 1))));
      check(listed.has(found) && image.dataset.picture === found,
        `${image.alt}: the one that the unit signed.`, `Altered picture: ${image.alt}`, image);
    }
    const shown = new Set(Array.from(document.querySelectorAll("img[data-picture]"), (i) => i.dataset.picture));
    const wanted = told.pictures.filter((p) => p.there).map((p) => p.sha256);
    check(wanted.every((sha) => shown.has(sha)), "", "A picture is missing");
  }

  function checkStory(records) {
    const body = (schema) => records.filter((r) => r.fields.get("v") === schema);
    const reads = body("read/1");
    const hits = body("hit/1");
    for (const hit of hits) {
      const id = hex(hit.fields.get("rd"));
      check(reads.length === 0 || reads.some((r) => hex(r.fields.get("id")) === id),
        "The hit belongs to the read.", `Not of this read: ${nameOf(hit)}`);
    }
    for (const decision of body("disposition/1")) {
      const id = hex(decision.fields.get("hit"));
      check(hits.some((h) => hex(h.fields.get("hit")) === id), "", `Not of this hit: ${nameOf(decision)}`);
    }
    const sorted = [...records].sort((a, b) => (a.seq < b.seq ? -1 : 1));
    sorted.slice(1).forEach((record, i) => {
      const before = sorted[i];
      if (record.told.unit !== before.told.unit || record.seq !== before.seq + 1n) return;
      check(same(record.prev, before.link), "", `Does not continue the record before it: ${nameOf(record)}`);
    });
  }

  async function checkPage(told, text, signature) {
    const main = document.querySelector("main");
    const hash = hex(await sha256(UTF8.encode(main.textContent.split(/\s+/).filter(Boolean).join(" "))));
    check(hash === told.main_sha256, "The text of this page is the exported one.", "Altered text on this page");
    for (const [name, wanted] of Object.entries(told.files)) {
      const element = document.getElementById(name);
      const data = element ? bytes(element.src.slice(element.src.indexOf(",") + 1)) : new Uint8Array();
      check(hex(await sha256(data)) === wanted, "", `Altered part of the page: ${name}`, element);
    }
    if (!told.station_key) {
      check(!signature, "", "A signature of a station without a key");
      return "The station did not sign this export: only what the units signed is proved, not who exported it and when.";
    }
    const message = UTF8.encode(PACKAGE + text);
    check(await isSigned(bytes(told.station_key), bytes(signature), message),
      "The station signed this export.", "Altered signature of the station, or altered contents of the export");
    return `Key of the station: ${hex(await sha256(bytes(told.station_key))).match(/.{4}/g).join(" ")}`;
  }

  // Inclusion proof of RFC 9162, section 2.1.3.2.
  async function checkLog(told) {
    const log = told.log;
    if (!log) return "There is no proof that this export is in the station's log.";
    let fn = BigInt(log.index);
    let sn = BigInt(log.size) - 1n;
    let root = await sha256(join(new Uint8Array([0]), bytes(log.leaf)));
    let holds = fn <= sn;
    for (const step of log.path) {
      const other = unhex(step);
      holds &&= sn !== 0n;
      if (fn & 1n || fn === sn) {
        root = await sha256(join(new Uint8Array([1]), other, root));
        while (!(fn & 1n) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
      } else {
        root = await sha256(join(new Uint8Array([1]), root, other));
      }
      [fn, sn] = [fn >> 1n, sn >> 1n];
    }
    const entry = JSON.parse(new TextDecoder().decode(bytes(log.leaf)));
    const isThis = entry.filter.split(" ").includes(`id=${told.id}`) && entry.case === told.case_number;
    check(holds && sn === 0n && hex(root) === log.root && isThis, `The export is entry ${log.index} of the station's log.`,
      "The proof that this export is in the station's log does not hold");
    return `Log of the station at the export: ${log.size} entries, root ${log.root}`;
  }

  async function run() {
    const text = document.getElementById("package").textContent;
    const told = JSON.parse(text);
    const records = [];
    for (const one of told.records) records.push(await readRecord(one, told.keys));
    for (const record of records) {
      check(record.holds, `The unit signed this record: ${nameOf(record)}.`,
        `Altered record, or not signed by its unit: ${nameOf(record)}`);
    }
    check(records.length > 0, "", "There is no record");
    checkValues(records);
    await checkPictures(told, records);
    checkStory(records);
    const notes = [await checkPage(told, text, document.getElementById("signature").textContent.trim())];
    notes.push(await checkLog(told));
    for (const key of told.keys) {
      notes.push(`Key of ${key.unit}: ${hex(await sha256(bytes(key.key))).match(/.{4}/g).join(" ")}`);
    }
    return notes;
  }

  function show(notes) {
    const result = document.getElementById("result");
    const good = problems.length === 0;
    document.documentElement.dataset.result = good ? "verified" : "altered";
    result.className = good ? "good" : "bad";
    document.getElementById("verdict").textContent = good ? "Verified" : "NOT verified";
    const list = document.getElementById("findings");
    const lines = good ? passed.filter(Boolean) : problems;
    const engine = ownEd25519
      ? "This browser has no Ed25519 signatures of its own: the page used its copy of noble-ed25519."
      : "Signatures were checked by this browser's own Ed25519.";
    list.replaceChildren(...[...new Set(lines), ...notes, engine].map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    }));
  }

  run().then(show, (error) => {
    problems.push(globalThis.crypto?.subtle
      ? `The package cannot be read: ${error.message}`
      : "This browser offers no WebCrypto for this page: open the file from the disk, or use patrol-lpr verify");
    show([]);
  });
})();
