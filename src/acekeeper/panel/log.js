// What happened, the newest on top, and the last of it about each engine.

import { clockTime, find, make, short, soon, words } from "./dom.js";

const MOST = 300;

const list = find("#entries");
const last = new Map();
let coming = []; // not in the page yet, the newest last
let newest = 0;

export const lastOf = (engine) => last.get(engine)?.[0];
export const latestOf = (engine) => last.get(engine) ?? [];

export function addEntry(entry) {
  if (entry.id <= newest) return;
  newest = entry.id;
  if (entry.engine) last.set(entry.engine, [entry, ...latestOf(entry.engine)].slice(0, 5));
  coming.push(entry);
  if (coming.length > MOST) coming = coming.slice(-MOST);
  showEntries();
}

const showEntries = soon(() => {
  list.prepend(...coming.reverse().map(entryOf));
  coming = [];
  while (list.children.length > MOST) list.lastChild.remove();
});

export function entryOf({ ts, kind, mood, engine, stream, data }) {
  const time = make("time", "", clockTime(ts));
  time.dateTime = ts;
  time.title = ts;
  const { vpn, ...rest } = data;
  const more = Object.entries(rest).map(([name, value]) => `${words(name)} ${textOf(value)}`);
  const about = [engine, stream && short(stream, 12), vpn, ...more].filter(Boolean).join(" · ");
  return make("li", mood ?? "", time, " ", make("b", "", words(kind)), " ", make("span", "", short(about, 300)));
}

const textOf = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
