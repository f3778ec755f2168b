// What both explanations show: rules with how much each keeps away, and what to change.

import { el, keep, say, show } from "./dom";
import { count } from "./words";

/** A rule: how many it keeps away, and how many that nothing else does. */
export interface Reason {
  name: string;
  message: string;
  all: number;
  only: number;
}

/** Something to change, and what it would bring. */
export interface Advice {
  message: string;
  gain: string;
}

/** A table of rules and a list of changes, inside an element. */
export class Reasons {
  private readonly rules: HTMLElement;
  private readonly rows = el("tbody");
  private readonly advice: HTMLElement;
  private readonly list = el("ul", { class: "advice" });

  /** `title` says what the table is of, `things` what it counts, `changes` what the list is. */
  constructor(inside: HTMLElement, title: string, things: string, changes: string) {
    const head = (text: string, name: string) => el("th", { scope: "col", class: name }, text);
    this.rules = el(
      "div",
      { class: "scroll", role: "region", "aria-label": title, tabindex: "0" },
      el(
        "table",
        {},
        el("caption", { class: "unseen" }, title),
        el("thead", {}, el("tr", {}, head("In the way", ""), head(things, "n"), head("Only this", "n"))),
        this.rows,
      ),
    );
    this.advice = el("div", {}, el("h3", {}, changes), this.list);
    inside.append(this.advice, this.rules);
  }

  show(reasons: readonly Reason[], advice: readonly Advice[]): void {
    keep(this.rows, reasons, (reason) => reason.name, makeRow, fillRow);
    show(this.rules, reasons.length > 0);
    keep(this.list, advice, (one) => one.message, () => el("li", {}, el("span"), " ", el("small")), fill);
    show(this.advice, advice.length > 0);
  }
}

function makeRow(): HTMLTableRowElement {
  return el("tr", {}, el("th", { scope: "row" }), el("td", { class: "n" }), el("td", { class: "n" }));
}

function fillRow(row: HTMLElement, reason: Reason): void {
  say(row.querySelector("th")!, capital(reason.message));
  const [all, only] = Array.from(row.querySelectorAll("td"));
  say(all!, count(reason.all));
  say(only!, count(reason.only));
}

function fill(item: HTMLElement, advice: Advice): void {
  say(item.querySelector("span")!, capital(advice.message));
  say(item.querySelector("small")!, advice.gain);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
