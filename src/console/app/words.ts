// Numbers and errors, in words for people.

import { Code, ConnectError } from "@connectrpc/connect";
import { BinaryReader } from "@bufbuild/protobuf/wire";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** 1,234 */
export const count = (n: number | bigint): string => whole.format(n);

/** 1.2K */
export const amount = (n: number | bigint): string => short.format(n);

/** 1 worker, 2 workers */
export const some = (n: number, thing: string): string => `${count(n)} ${thing}${n === 1 ? "" : "s"}`;

/** A span in seconds: 40 s, 3 min, 2 h. */
export function span(seconds: number): string {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** What the broker says, as a sentence: its texts begin small and have no full stop. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/\.?$/, ".");
}

/** Fields that were refused, from google.rpc.BadRequest: `path: why`. */
function violations(error: ConnectError): string[] {
  const found: string[] = [];
  for (const detail of error.details) {
    if (!("type" in detail) || detail.type !== "google.rpc.BadRequest") continue;
    const request = new BinaryReader(detail.value as Uint8Array);
    while (request.pos < request.len) {
      const [field, type] = request.tag();
      if (field !== 1) {
        request.skip(type, field);
        continue;
      }
      const violation = new BinaryReader(request.bytes());
      let path = "";
      let why = "";
      while (violation.pos < violation.len) {
        const [number, wire] = violation.tag();
        if (number === 1) path = violation.string();
        else if (number === 2) why = violation.string();
        else violation.skip(wire, number);
      }
      found.push(`${path}: ${why}`);
    }
  }
  return found;
}

/** Whether another try may succeed without anybody changing anything. */
export function mayPass(error: unknown): boolean {
  const code = ConnectError.from(error).code;
  const lasting = [
    Code.InvalidArgument,
    Code.NotFound,
    Code.PermissionDenied,
    Code.Unauthenticated,
    Code.Unimplemented,
    Code.FailedPrecondition,
  ];
  return !lasting.includes(code);
}

/** What went wrong, and what to do. */
export function trouble(error: unknown): string {
  const refused = ConnectError.from(error);
  const said = refused.rawMessage.replace(/\.$/, "");
  switch (refused.code) {
    case Code.Unauthenticated:
      return "No account has this API key. Check it, or use 0000000000 to ask anonymously.";
    case Code.NotFound:
      return "There is no such request, or its time is over. Check the ID, or submit it again.";
    case Code.InvalidArgument: {
      const fields = violations(refused);
      return fields.length > 0 ? `Please change ${fields.join("; ")}.` : sentence(said);
    }
    case Code.ResourceExhausted:
      return `Too much at once: ${said}. Wait a moment, then try again.`;
    case Code.Unavailable:
      return `The broker is not ready: ${said}. Try again in a moment.`;
    case Code.Unknown:
    case Code.Internal:
      return `The broker could not be reached (${said}). Check that it runs, then try again.`;
    default:
      return sentence(said);
  }
}
