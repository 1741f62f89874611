// Calls and server-sent events, with the key: EventSource can send no header, so fetch reads them.

import { forgetKey, readKey } from "./key.js";

const SILENT_MS = 40_000; // the service says every 15 s at least that it lives
const UNANSWERED_MS = 70_000; // it answers within a minute, whatever it is asked
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8_000;

export class Refused extends Error {
  constructor(status, detail, key = null, mayRead = false) {
    super(detail);
    this.status = status;
    this.key = key; // what it was asked with
    this.mayRead = mayRead; // that key is valid, but not for this
  }

  get needsKey() {
    return this.status === 401 || this.status === 403;
  }

  /** Whether another key was given since it was asked. */
  get isOutdated() {
    return ![null, this.key].includes(readKey());
  }
}

export async function call(method, path) {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), UNANSWERED_MS);
  try {
    return await (await request(path, { method, signal: late.signal })).json();
  } catch (error) {
    if (!late.signal.aborted) throw error;
    throw new Refused(0, `there was no answer for ${UNANSWERED_MS / 1000} s; it may come to it yet`);
  } finally {
    clearTimeout(timer);
  }
}

async function request(path, options) {
  const key = readKey();
  const headers = { ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  const response = await fetch(path, { ...options, headers, cache: "no-store" });
  if (response.ok) return response;
  const mayRead = /insufficient_scope/.test(response.headers.get("WWW-Authenticate"));
  const refused = new Refused(response.status, await why(response), key, mayRead);
  if (refused.status === 403 && !mayRead) forgetKey(key);
  throw refused;
}

async function why(response) {
  try {
    const { detail } = await response.json();
    return typeof detail === "string" ? detail : detail.message;
  } catch {
    return `the answer was ${response.status}`;
  }
}

/**
 * Follows `feed.path` until `signal`, and comes back after every end: `feed.opened()`, then
 * `feed.heard(data)` for every event. `feed.lost(why, again)` when there is no connection, to be
 * tried again in so many seconds; `feed.refused(why)` when it needs the key: waits for one.
 */
export async function follow(feed, signal) {
  let wait = FIRST_WAIT_MS;
  while (!signal.aborted) {
    let reason = "acekeeper ended the connection";
    try {
      await followOnce(feed, signal, () => (wait = FIRST_WAIT_MS));
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.needsKey) {
        await feed.refused(error, signal);
        continue;
      }
      reason = error instanceof Refused ? error.message : "acekeeper cannot be reached";
    }
    if (signal.aborted) return;
    feed.lost(reason);
    await pause(wait, signal);
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  }
}

async function followOnce(feed, signal, opened) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), SILENT_MS);
  const headers = { Accept: "text/event-stream" };
  if (feed.lastId !== undefined) headers["Last-Event-ID"] = String(feed.lastId);
  try {
    const response = await request(feed.path, {
      headers,
      signal: AbortSignal.any([signal, silence.signal]),
    });
    opened();
    feed.opened();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENT_MS);
      const messages = (rest + value).split("\n\n");
      rest = messages.pop();
      for (const message of messages) hear(feed, message);
    }
  } finally {
    clearTimeout(timer);
  }
}

function hear(feed, message) {
  for (const line of message.split("\n")) {
    if (line.startsWith("id: ")) feed.lastId = line.slice(4);
    if (line.startsWith("data: ")) feed.heard(JSON.parse(line.slice(6)));
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const over = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over); // or they would be as many as the pauses
      resolve();
    };
    const timer = setTimeout(over, milliseconds);
    signal.addEventListener("abort", over);
  });
}
