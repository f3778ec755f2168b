// The broker's status: one stream for the whole page, open while somebody looks at it.

import type { BrokerStatus, WatchStatusResponse } from "../gen/grid/v2/status_pb";
import { status } from "./api";
import { follow, type Connection } from "./follow";
import { trouble } from "./words";

/** Keep-alives come every 10 s; two that are missing mean that nobody is there. */
const LONGEST_SILENCE = 25;

/** How the stream is: live, tried again in so many seconds, or given up, with why. */
export type Report = Connection | string;

type Listener = (picture: BrokerStatus) => void;

const listeners: Listener[] = [];
let newest: BrokerStatus | undefined;
let reading: AbortController | undefined;

/** Tells a listener of the newest picture, and of each that follows. */
export function onStatus(listener: Listener): void {
  listeners.push(listener);
  if (newest) listener(newest);
}

/** Reads for as long as the page is seen: a tab in the background holds no connection. */
export function begin(report: (connection: Report) => void): void {
  const look = () => {
    if (document.visibilityState === "hidden") {
      reading?.abort();
      reading = undefined;
      return;
    }
    if (reading) return;
    reading = new AbortController();
    const stream = {
      open: (signal: AbortSignal) => status.watchStatus({}, { signal }),
      take: (told: WatchStatusResponse) => {
        if (told.event.case === "status") {
          newest = told.event.value;
          for (const listener of listeners) listener(newest);
        }
        return false;
      },
      report,
      mayEnd: false,
      longestSilence: LONGEST_SILENCE,
    };
    follow(stream, reading.signal).catch((error: unknown) => report(trouble(error)));
  };
  document.addEventListener("visibilitychange", look);
  look();
}
