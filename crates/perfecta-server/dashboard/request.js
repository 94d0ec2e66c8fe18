// One request: followed by its event stream until it has ended, or nobody looks.

import { Refusal, ask, follow } from "./ask.js";
import { Bar, byId, bytes, count, duration, element, many, moment, outcomes, pairs, put, rows, settledOf, show, visible } from "./draw.js";
import { nameOf, outcomeOf } from "./overview.js";
import { Pager } from "./pager.js";
import { Rates } from "./rates.js";

const FAILURES = 25;
const SLOWEST = 10;
const NOTICES_MAX = 100;

export class RequestView {
  constructor(id, cancel) {
    this.id = id;
    this.path = `v1/requests/${encodeURIComponent(id)}`;
    this.cancel = cancel;
    this.status = null;
    this.rates = new Rates();
    this.stream = null;
    this.heardAll = false;
    this.notices = [];
    this.numNotices = 0;
    this.drawn = { settled: -1, failed: -1 };
    this.isDue = false;
    this.isLeft = false;
    this.failures = new Pager(byId("failures-pager"), FAILURES, () => this.showFailures());
    this.bar = new Bar();
    this.figures = element("dl", { class: "figures" });
    byId("request-progress").replaceChildren(this.bar.node, this.figures);
    for (const list of ["failures-rows", "notices-rows", "slowest-rows", "options"]) rows(byId(list), [], String, String);
    for (const section of ["failures", "notices", "slowest", "request-cancel", "request-error"]) show(byId(section), false);
    put(byId("request-title"), `Request ${visible(id)}`);
    put(byId("request-state"), "");
  }

  /** The page is hidden for now. */
  rest() {
    this.stream?.abort();
    this.stream = null;
  }

  /** Another view has the page: what is answered late is not drawn. */
  leave() {
    this.isLeft = true;
    this.rest();
  }

  async look() {
    try {
      if (this.status === null) await this.begin();
      // A stream that broke off is taken up where the daemon is by now.
      if (this.stream === null && !this.heardAll) await this.listen();
      await this.showItems();
    } catch (error) {
      if (!(error instanceof Refusal && error.status === 404)) throw error;
      if (this.isLeft) return;
      this.rest();
      put(byId("request-state"), "not kept");
      byId("request-state").className = "badge calm";
      show(byId("request-cancel"), false);
      this.showError(`The daemon has no request ${visible(this.id)}, or none any more.`);
    }
  }

  async begin() {
    const [status, spec] = await Promise.all([ask(this.path), ask(`${this.path}/spec`)]);
    if (this.isLeft) return;
    const files = spec.inputs.files;
    this.name = nameOf({
      input: spec.inputs.tree?.root ?? files[0] ?? "",
      input_files: files?.length ?? null,
      output: status.output ?? spec.output?.directory ?? null,
    });
    put(byId("request-title"), this.name);
    byId("request-cancel").onclick = () => this.cancel(this.id, this.name);
    pairs(byId("options"), optionsOf(spec));
    this.status = status;
    this.draw();
  }

  async listen() {
    this.status = await ask(this.path);
    this.draw();
    if (this.isLeft) return;
    const stream = new AbortController();
    this.stream = stream;
    this.notices = [];
    this.numNotices = 0;
    follow(`${this.path}/events?tables=none`, stream.signal, (name, data) => this.told(name, data))
      // Broken or ended: the next look says which.
      .catch(() => {})
      .finally(() => {
        if (this.stream === stream) this.stream = null;
      });
  }

  told(name, data) {
    if (name === "end") {
      this.status = data;
      this.heardAll = true;
    }
    if (name === "progress") this.status = { ...this.status, state: "running", progress: data };
    if (name === "notice") {
      this.numNotices += 1;
      this.notices = [...this.notices, { number: this.numNotices, text: data }].slice(-NOTICES_MAX);
    }
    // Drawn once a frame, however much is told.
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      this.draw();
    });
  }

  draw() {
    const { status } = this;
    if (this.isLeft) return;
    const isOver = status.ended_unix_ms !== null;
    const [word, tone] = outcomeOf(status);
    put(byId("request-state"), word);
    byId("request-state").className = `badge ${tone}`;
    show(byId("request-cancel"), !isOver);
    show(this.bar.node, status.progress !== null);
    if (status.progress) this.bar.update(status.progress, this.name);
    pairs(this.figures, this.figuresOf(status, isOver));
    const reasons = [status.error?.message, status.error?.remedy, status.reason].filter(Boolean);
    if (reasons.length > 0) this.showError(reasons.map(visible).join(" · "));
    show(byId("notices"), this.numNotices > 0);
    put(byId("notices-count"), count(this.numNotices));
    rows(byId("notices-rows"), this.notices, (notice) => notice.number, (notice) => ({
      node: element("li", {}, visible(notice.text)),
      update() {},
    }));
  }

  figuresOf({ progress, summary, accepted_unix_ms, ended_unix_ms }, isOver) {
    const figures = [];
    // What has ended is told by what came of it: all of it settled, be it as cancelled.
    if (progress && isOver) figures.push(["Tables", outcomes(progress)]);
    if (summary) figures.push(["Keys", `${count(summary.keys)} in tables`]);
    if (progress && !isOver) {
      figures.push(["Tables", `${count(settledOf(progress))} of ${count(progress.tables)}`]);
      figures.push(["Keys", `${count(progress.keys_done)} of ${count(progress.keys_total)}`]);
      const [tables, keys, left] = this.rates.of(this.id, progress);
      if (tables) figures.push(["Speed", `${tables}, ${keys}`]);
      if (left) figures.push(["Left", left.replace(" left", "")]);
      const { hardest } = progress;
      if (hardest) figures.push(["Hardest now", `${hardest.keys_file}, ${many(hardest.attempts, "attempt")}`]);
    }
    if (summary) {
      figures.push(["Written", `${bytes(summary.bytes)} in ${many(summary.files, "file")}`]);
      figures.push(["Took", `${duration(summary.wall_seconds)}, ${duration(summary.cpu_seconds)} of CPU`]);
    }
    figures.push(["Accepted", moment(accepted_unix_ms)]);
    if (isOver) figures.push(["Ended", moment(ended_unix_ms)]);
    figures.push(["Id", this.id]);
    return figures;
  }

  showError(text) {
    show(byId("request-error"), true);
    put(byId("request-error"), text);
  }

  /** Asks for what changed of single tables since the last look. */
  async showItems() {
    const progress = this.status?.progress ?? null;
    if (progress === null || this.isLeft) return;
    const [settled, failed] = [settledOf(progress), progress.failed];
    if (failed !== this.drawn.failed) await this.showFailures();
    if (settled !== this.drawn.settled) await this.showSlowest();
    this.drawn = { settled, failed };
  }

  async showFailures() {
    const page = await ask(`${this.path}/items?tables=failed&offset=${this.failures.offset}&limit=${FAILURES}`);
    // Who turned the page meanwhile asked for another one.
    if (this.isLeft || page.offset !== this.failures.offset) return;
    show(byId("failures"), page.settled > 0);
    put(byId("failures-count"), count(page.settled));
    this.failures.update(page.settled);
    const numbered = page.items.map((item, place) => ({ ...item, number: page.offset + place }));
    rows(byId("failures-rows"), numbered, (item) => item.number, (item) => {
      const { message = "", remedy = null } = item.error ?? {};
      const node = element("li", {}, element("p", { class: "path" }, visible(item.keys_file)), element("p", { class: "reason" }, visible(message)));
      if (remedy) node.append(element("p", { class: "remedy" }, visible(remedy)));
      return { node, update() {} };
    });
  }

  async showSlowest() {
    const items = await ask(`${this.path}/slowest?limit=${SLOWEST}`);
    if (this.isLeft) return;
    show(byId("slowest"), items.length > 0);
    // A file that was named twice has two tables.
    const places = new Map();
    const numbered = items.map((item) => {
      const place = (places.get(item.keys_file) ?? 0) + 1;
      places.set(item.keys_file, place);
      return { ...item, key: `${place} ${item.keys_file}` };
    });
    rows(byId("slowest-rows"), numbered, (item) => item.key, (item) => {
      const cells = [count(item.keys), count(item.attempts), duration(item.solve_seconds)];
      const file = element("th", { scope: "row", class: "path" }, visible(item.keys_file));
      return { node: element("tr", {}, file, ...cells.map((text) => element("td", {}, text))), update() {} };
    });
  }
}

/** The fields of a request as `search.hash` and its value. */
function optionsOf(spec) {
  const fields = [];
  const gather = (value, path) => {
    if (value !== null && typeof value === "object" && !Array.isArray(value)) {
      for (const [name, inner] of Object.entries(value)) gather(inner, path ? `${path}.${name}` : name);
    } else if (Array.isArray(value)) {
      const more = value.length > 8 ? `, and ${count(value.length - 8)} more` : "";
      fields.push([path, value.slice(0, 8).join(", ") + more || "none"]);
    } else {
      fields.push([path, value === null ? "not set" : String(value)]);
    }
  };
  gather(spec, "");
  return fields;
}
