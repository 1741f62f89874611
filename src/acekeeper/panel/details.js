// One engine in full, with what can be done about it.

import { count, find, make, setClass, setText, show, since } from "./dom.js";
import { kindOf, stateOf } from "./engines.js";
import { entryOf } from "./log.js";

const dialog = find("#details");
const list = find("dl", dialog);
const entries = find(".entries", dialog);
const drain = find("#drain");
const stop = find("#stop");
let name = null;
let shown = null;
let isSure = false;

export const openedEngine = () => name;

export function openDetails(engine) {
  name = engine;
  isSure = false;
  setText(find("#details-title"), name);
  dialog.showModal();
  find("#close").focus();
}

/** `now` is undefined for an engine that is gone. */
export function showDetails(now, latest) {
  if (now) shown = now;
  const { engine, score } = shown;
  const state = find(".state", dialog);
  setClass(state, `state ${now ? kindOf(engine) : "gone"}`);
  setText(state, now ? stateOf(engine) : "It is gone.");
  const ago = (time) => (time ? `${since(time)} ago` : "never");
  const facts = {
    Score: String(score),
    Address: `${engine.host}:${engine.port}`,
    Asked: ago(engine.first_seen),
    Checked: ago(engine.last_health_check),
    "Last used": ago(engine.last_stream_usage),
    Streams: engine.streams.join("\n") || "none",
    Container: engine.container_id || "not yet",
  };
  for (const [label, value] of Object.entries(engine.labels)) facts[`Label ${label}`] = value;
  list.replaceChildren(
    ...Object.entries(facts).map(([term, value]) =>
      make("div", "", make("dt", "", term), make("dd", "", value)),
    ),
  );
  entries.replaceChildren(...latest.map(entryOf));
  const kind = kindOf(engine);
  const isIdentified = Boolean(now && engine.container_id);
  show(drain, isIdentified && kind !== "draining" && kind !== "stopping");
  show(stop, isIdentified && kind !== "stopping");
  setText(stop, isSure ? `Stop now: ${ending(engine)}` : "Stop");
}

const ending = ({ streams }) =>
  streams.length ? `${count(streams.length, "stream")} on it will end` : "nothing plays on it";

/** `act(method, path, done)` does it, with the key. */
export function makeDetails(act) {
  drain.addEventListener("click", () => {
    act("POST", `/engines/${id()}/drain`, `${name} is drained and then stopped.`);
    dialog.close();
  });
  stop.addEventListener("click", () => {
    if (!isSure) {
      isSure = true;
      setText(stop, `Stop now: ${ending(shown.engine)}`);
      return;
    }
    act("DELETE", `/containers/${id()}`, `${name} is being stopped.`);
    dialog.close();
  });
  find("#close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  dialog.addEventListener("close", () => (name = null));
}

const id = () => encodeURIComponent(shown.engine.container_id);
