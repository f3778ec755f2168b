// The playground: asks for a text or an image, and shows it as it comes.

import { cancel, KEY, submit, type Kind } from "./api";
import { el, say, show, the } from "./dom";
import { onStatus } from "./live";
import { Outcome } from "./outcome";
import { begin as fresh, type Run } from "./run";
import { watch, type Watched } from "./watcher";
import { trouble } from "./words";

const RUN = "gridbroker run";
const ANONYMOUS = "0000000000";
/** Between two times that a run is put by, in milliseconds. */
const PAUSE = 100;

let kind: Kind = "text";
let current: Run | undefined;
/** The kind of the current run; the form may have been turned to another since. */
let currentKind: Kind = "text";
let watching: AbortController | undefined;
let saving = 0;
let outcome: Outcome;

export function begin(): void {
  outcome = new Outcome(the("run-outcome"));
  const key = the<HTMLInputElement>("key");
  key.value = sessionStorage.getItem(KEY) ?? ANONYMOUS;
  key.addEventListener("change", () => sessionStorage.setItem(KEY, key.value.trim()));
  for (const radio of document.querySelectorAll<HTMLInputElement>("input[name=kind]")) {
    radio.addEventListener("change", () => choose(radio.value as Kind));
  }
  the("wish").addEventListener("submit", (event) => {
    event.preventDefault();
    void press("submit", send);
  });
  the("cancel").addEventListener("click", () => void press("cancel", stop));
  onStatus((picture) => {
    for (const one of ["text", "image"] as const) {
      const names = picture.models.filter((model) => model.type === one && model.count > 0);
      offer(the<HTMLSelectElement>(`${one}-model`), names.map((model) => model.name));
    }
  });
  window.addEventListener("pagehide", put);
}

/** Goes to the request that the address names, if it names one. */
export function open(parts: string[]): void {
  // It may have been entered elsewhere.
  the<HTMLInputElement>("key").value = sessionStorage.getItem(KEY) ?? ANONYMOUS;
  const [named, id] = parts;
  if ((named !== "text" && named !== "image") || !id) return;
  if (current?.id === id) return;
  choose(named);
  the<HTMLInputElement>(`kind-${named}`).checked = true;
  follow(kept(id) ?? fresh(id), []);
}

/** The run that this tab was left with. A text goes on from its cursor; an image is told anew, since links
 * to it do not last. */
function kept(id: string): Run | undefined {
  try {
    const run = JSON.parse(sessionStorage.getItem(RUN) ?? "null") as Run | null;
    // What was kept by an older page may lack something.
    return run?.id === id && kind === "text" ? { ...fresh(id), ...run } : undefined;
  } catch {
    return undefined;
  }
}

function put(): void {
  window.clearTimeout(saving);
  saving = 0;
  try {
    if (current) sessionStorage.setItem(RUN, JSON.stringify(current));
  } catch {
    // It is too large to be kept; a reload begins from the start.
    sessionStorage.removeItem(RUN);
  }
}

function choose(wanted: Kind): void {
  kind = wanted;
  for (const one of ["text", "image"] as const) {
    for (const field of document.querySelectorAll<HTMLFieldSetElement>(`.only-${one}`)) {
      show(field, one === kind);
      field.disabled = one !== kind;
    }
  }
}

/** Offers models, and keeps the one that was chosen. */
function offer(select: HTMLSelectElement, names: string[]): void {
  const wanted = ["", ...names];
  const had = Array.from(select.options, (option) => option.value);
  if (wanted.length === had.length && wanted.every((name, i) => name === had[i])) return;
  const chosen = select.value;
  select.replaceChildren(...wanted.map((name) => el("option", { value: name }, name === "" ? "Any model" : name)));
  select.value = wanted.includes(chosen) ? chosen : "";
}

/** Runs what a button is for, once at a time. The button keeps the focus, as a disabled one would not. */
async function press(id: string, act: () => Promise<void>): Promise<void> {
  const button = the(id);
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  wrong("");
  try {
    await act();
  } catch (error) {
    wrong(trouble(error));
  } finally {
    button.ariaDisabled = "false";
  }
}

async function send(): Promise<void> {
  const number = (id: string) => the<HTMLInputElement>(id).valueAsNumber;
  const [width = 512, height = 512] = the<HTMLSelectElement>("size").value.split("x").map(Number);
  const { id, notes } = await submit({
    kind,
    prompt: the<HTMLTextAreaElement>("prompt").value,
    model: the<HTMLSelectElement>(`${kind}-model`).value,
    length: number("length"),
    width,
    height,
    steps: number("steps"),
    key: the<HTMLInputElement>("key").value.trim(),
  });
  follow(fresh(id), notes);
  location.hash = `#playground/${kind}/${id}`;
  // On a phone the answer stands below the form.
  the("answer").scrollIntoView({ block: "nearest" });
}

function wrong(text: string): void {
  say(the("wish-wrong"), text);
  show(the("wish-wrong"), text !== "");
}

function follow(run: Run, notes: string[]): void {
  watching?.abort();
  watching = new AbortController();
  current = run;
  currentKind = kind;
  show(the("run"), true);
  show(the("run-none"), false);
  say(the("run-notes"), notes.join(" "));
  show(the("run-notes"), notes.length > 0);
  const link = the<HTMLAnchorElement>("run-link");
  link.href = `#request/${run.id}`;
  say(link, run.id);
  // Whoever looks elsewhere and comes back finds it again.
  document.querySelector("nav a[data-section=playground]")?.setAttribute("href", `#playground/${kind}/${run.id}`);
  const own = watching.signal;
  void watch(run, kind, (watched) => own.aborted || changed(watched), own);
}

function changed(watched: Watched): void {
  outcome.show(watched);
  show(the("cancel"), !watched.run.isOver);
  if (saving === 0) saving = window.setTimeout(put, PAUSE);
}

async function stop(): Promise<void> {
  if (current) await cancel(currentKind, current.id);
}
