// The console: a page of sections, whose places are in the address.

import { say, show, the } from "./dom";
import * as live from "./live";
import * as overview from "./overview";
import * as playground from "./playground";
import * as request from "./request";
import * as worker from "./worker";

const SECTIONS = ["overview", "playground", "request", "worker"] as const;
type Section = (typeof SECTIONS)[number];

let shown: Section | undefined;

function go(): void {
  const [named, ...rest] = location.hash.slice(1).split("/").map(decoded);
  const section = SECTIONS.find((one) => one === named) ?? "overview";
  for (const one of SECTIONS) {
    show(the(one), one === section);
    const link = document.querySelector(`nav a[data-section=${one}]`);
    if (one === section) link?.setAttribute("aria-current", "page");
    else link?.removeAttribute("aria-current");
  }
  document.title = `${the(`${section}-title`).textContent ?? ""} – gridbroker`;
  if (section === "playground") playground.open(rest);
  if (section === "request") request.open(rest);
  else request.close();
  if (section === "worker") worker.open(rest);
  else worker.close();
  // Who comes by keyboard goes on in the section that opened.
  if (shown && shown !== section) the(`${section}-title`).focus();
  shown = section;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function report(connection: live.Report): void {
  const health = the("health");
  health.dataset["state"] = connection === "live" ? "live" : "lost";
  if (connection === "live") return;
  say(health, typeof connection === "string" ? connection : "Connection lost; trying again");
}

overview.begin();
playground.begin();
request.begin();
worker.begin();
live.onStatus((picture) => {
  const word = picture.heartbeat?.message ?? "";
  const health = the("health");
  health.dataset["state"] = word === "OK" ? "live" : "lost";
  const words: Record<string, string> = { OK: "Live", OVERLOADED: "Overloaded", DOWN: "Store is away" };
  say(health, words[word] ?? word);
});
live.begin(report);
the("skip").addEventListener("click", (event) => {
  event.preventDefault();
  the("main").focus();
});
window.addEventListener("hashchange", go);
go();
