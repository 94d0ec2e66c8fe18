// Draws: nodes, numbers as words, lists that keep their nodes, bars and graphs.
//
// Names of files come from anybody. They become text, never markup, and what would hide or turn
// text around is spelled out.

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** A name or message as it can be shown. */
export function visible(text) {
  return String(text).replace(HIDDEN, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

export function byId(id) {
  return document.getElementById(id);
}

/** A node; children are nodes, or strings that become text. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Changes a text only where it is another: what is selected stays so. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Shows a node, or hides it; the focus that is within goes to the title above. */
export function show(node, isShown) {
  if (!isShown && node.contains(document.activeElement)) titleOf(node.parentElement)?.focus();
  node.hidden = !isShown;
}

/** The title of the section that a node is in. */
function titleOf(node) {
  return node.closest("section")?.querySelector("h1, h2");
}

/** The rows of every list, by their keys. */
const lists = new WeakMap();

/**
 * Makes `list` hold a node for each of `items`, in order, and keeps those that it has, and the focus: that
 * of a row that goes is given to the next one.
 */
export function rows(list, items, key, make) {
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const heldBy = [...list.children].findIndex((node) => node.contains(focused));
  const known = lists.get(list) ?? new Map();
  lists.set(list, known);
  const wanted = new Set(items.map(key));
  for (const [name, row] of known) {
    if (!wanted.has(name)) {
      row.node.remove();
      known.delete(name);
    }
  }
  items.forEach((item, place) => {
    const name = key(item);
    if (!known.has(name)) known.set(name, make(item));
    const row = known.get(name);
    row.update(item);
    if (list.children[place] !== row.node) list.insertBefore(row.node, list.children[place] ?? null);
  });
  if (focused === null || document.activeElement === focused) return;
  const next = list.children[Math.min(heldBy, list.children.length - 1)];
  const heir = focused.isConnected ? focused : (next?.querySelector("a") ?? titleOf(list));
  heir?.focus();
}

/** Terms and what they are; the pairs of a list of facts. Long ones get more room. */
export function pairs(list, facts) {
  rows(list, facts, ([term]) => term, ([term]) => {
    const value = element("dd");
    const node = element("div", {}, element("dt", {}, visible(term)), value);
    const update = ([, text]) => {
      put(value, visible(text));
      node.classList.toggle("wide", text.length > 40);
    };
    return { node, update };
  });
}

const exact = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

export function count(number) {
  return exact.format(number);
}

/** `1 table`, `2 tables`. */
export function many(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** Short facts in a line, broken between them only. */
export function sentence(facts) {
  return facts.map((fact) => fact.replaceAll(" ", "\u00a0")).join(" · ");
}

export function rate(number) {
  return number >= 10_000 ? compact.format(number) : exact.format(Number(number.toPrecision(number < 10 ? 2 : 3)));
}

export function bytes(number) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let place = 0;
  while (number >= 1000 && place + 1 < units.length) {
    number /= 1000;
    place += 1;
  }
  return `${Number(number.toPrecision(3))} ${units[place]}`;
}

export function duration(seconds) {
  if (seconds < 0.000995) return `${Number((seconds * 1e6).toPrecision(2))} µs`;
  if (seconds < 0.0995) return `${Number((seconds * 1000).toPrecision(2))} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const [days, hours] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24];
  const [minutes, rest] = [Math.floor(whole / 60) % 60, whole % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${rest} s` : `${rest} s`;
}

/** The time of day, with the day where it is another one. */
export function moment(unixMs) {
  const at = new Date(unixMs);
  const time = at.toLocaleTimeString("en-GB");
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString("en-CA")} ${time}`;
}

const PARTS = ["ok", "unchanged", "failed", "cancelled", "running"];

/** Where the items of a request are, as a bar with its legend. */
export class Bar {
  constructor() {
    this.parts = PARTS.map((name) => element("span", { class: name }));
    this.track = element("div", { class: "bar", role: "progressbar", "aria-valuemin": 0 }, ...this.parts);
    this.legend = element("ul", { class: "legend" });
    this.node = element("div", {}, this.track, this.legend);
  }

  update(progress, name) {
    const { tables } = progress;
    PARTS.forEach((part, place) => {
      const share = tables ? (100 * progress[part]) / tables : 0;
      this.parts[place].style.width = `${share}%`;
      this.parts[place].classList.toggle("some", share > 0);
    });
    const settled = settledOf(progress);
    const told = { "aria-label": name, "aria-valuemax": tables || 1, "aria-valuenow": settled, "aria-valuetext": `${count(settled)} of ${many(tables, "table")}: ${outcomes(progress)}` };
    for (const [attribute, value] of Object.entries(told)) this.track.setAttribute(attribute, value);
    rows(this.legend, partsOf(progress), ([part]) => part, ([part]) => {
      const text = element("span");
      const node = element("li", { class: part }, element("i", { "aria-hidden": "true" }), text);
      return { node, update: ([, number]) => put(text, `${count(number)} ${WORDS[part] ?? part}`) };
    });
  }
}

const WORDS = { queued: "waiting", unchanged: "unchanged already" };

/** Where the items of a request are, and how many are there. */
function partsOf(progress) {
  return [...PARTS, "queued"].map((part) => [part, progress[part]]).filter(([, number]) => number > 0);
}

/** The same in words, with those that are ok before all: `0 ok, 23 cancelled`. */
export function outcomes(progress) {
  const others = partsOf(progress).filter(([part]) => part !== "ok");
  return [["ok", progress.ok], ...others].map(([part, number]) => `${count(number)} ${WORDS[part] ?? part}`).join(", ");
}

export function settledOf(progress) {
  return progress.ok + progress.unchanged + progress.failed + progress.cancelled;
}

const [WIDTH, HEIGHT] = [300, 56];

/** The last minutes of a number. */
export class Graph {
  constructor(title, spell, hue) {
    this.spell = spell;
    const svg = (tag, attributes) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
      return node;
    };
    this.area = svg("path", { class: "area" });
    this.line = svg("path", { class: "line", "vector-effect": "non-scaling-stroke" });
    this.drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.drawing.append(this.area, this.line);
    this.value = element("b");
    this.beside = element("span", { class: "beside" });
    this.peak = element("span");
    const head = element("p", { class: "graph-head" }, this.value, this.beside);
    this.from = element("span");
    const span = element("p", { class: "graph-span", "aria-hidden": "true" }, this.from, this.peak, element("span", {}, "now"));
    this.node = element("section", { class: `panel graph ${hue}` }, element("h2", {}, title), head, this.drawing, span);
    this.title = title;
  }

  /** Draws points, `[seconds ago, value]` from the oldest on, and says what is beside the last one. */
  update(points, beside) {
    // A young daemon's minutes are drawn as wide as an old one's.
    const span = Math.min(600, 60 * Math.ceil((points[0]?.[0] || 1) / 60));
    const peak = Math.max(0, ...points.map(([, value]) => value));
    const last = points.at(-1)?.[1] ?? 0;
    const places = points.map(([ago, value]) => {
      const x = WIDTH * (1 - Math.min(1, ago / span));
      const y = HEIGHT - 2 - (peak ? (HEIGHT - 6) * (value / peak) : 0);
      return [x.toFixed(1), y.toFixed(1)];
    });
    const line = places.map(([x, y]) => `${x} ${y}`).join("L");
    this.line.setAttribute("d", line && `M${line}`);
    this.area.setAttribute("d", line && `M${places[0][0]} ${HEIGHT}L${line}L${places.at(-1)[0]} ${HEIGHT}Z`);
    this.drawing.setAttribute("aria-label", `${this.title}: now ${this.spell(last)}, at most ${this.spell(peak)} in the last ${many(span / 60, "minute")}`);
    put(this.from, `${span / 60} min ago`);
    put(this.value, this.spell(last));
    put(this.beside, beside);
    put(this.peak, `peak ${this.spell(peak)}`);
  }
}
