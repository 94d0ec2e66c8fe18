// Pages of a list that is too long to be shown as a whole.

import { count, element, put, show } from "./draw.js";

export class Pager {
  /** Calls `turned` when somebody turns the page. */
  constructor(nav, limit, turned) {
    this.nav = nav;
    this.limit = limit;
    this.offset = 0;
    this.where = element("span");
    this.back = element("button", { type: "button" }, "Earlier");
    this.on = element("button", { type: "button" }, "Further");
    this.back.addEventListener("click", () => this.turn(-limit, turned));
    this.on.addEventListener("click", () => this.turn(limit, turned));
    nav.replaceChildren(this.back, this.where, this.on);
  }

  turn(by, turned) {
    this.offset = Math.max(0, this.offset + by);
    // Who turns pages hears of a lost connection elsewhere.
    Promise.resolve(turned()).catch(() => {});
  }

  /** There are so many now. */
  update(total) {
    const last = Math.max(0, Math.ceil(total / this.limit) - 1) * this.limit;
    this.offset = Math.min(this.offset, last);
    show(this.nav, total > this.limit);
    const focused = document.activeElement;
    this.back.disabled = this.offset === 0;
    this.on.disabled = this.offset >= last;
    // A disabled button would lose the focus to nothing.
    if (focused === this.back && this.back.disabled) this.on.focus();
    if (focused === this.on && this.on.disabled) this.back.focus();
    put(this.where, `${count(this.offset + 1)} to ${count(Math.min(total, this.offset + this.limit))} of ${count(total)}`);
  }
}
