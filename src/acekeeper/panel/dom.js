// Small tools. What comes from outside gets into the page as text only.

const REST_MS = 200;

export const find = (selector, within = document) => within.querySelector(selector);

export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Only what differs is touched: most of a page of tiles stays as it is. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setClass(element, className) {
  if (element.className !== className) element.className = className;
}

export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

/** Before one of the next pictures, however often it is asked for: so a storm of events costs
 * a few pictures a second. */
export function soon(work) {
  let asked = false;
  let rested = 0; // when it may be done again
  return () => {
    if (asked) return;
    asked = true;
    const done = () => {
      asked = false;
      work();
      rested = performance.now() + REST_MS;
    };
    setTimeout(() => requestAnimationFrame(done), Math.max(0, rested - performance.now()));
  };
}

let ahead = 0; // milliseconds by which the server's clock is ahead of ours

export function setClock(at) {
  ahead = Date.parse(at) - Date.now();
}

export const serverNow = () => Date.now() + ahead;

export function since(time) {
  const seconds = Math.max(0, Math.round((serverNow() - Date.parse(time)) / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.floor(hours / 24)} d`;
}

export const clockTime = (time) => new Date(time).toLocaleTimeString([], { hour12: false });

export const words = (name) => name.replaceAll("_", " ").replace(/\bvpn\b/, "VPN");

export const count = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;

export function speed(kilobytes) {
  return kilobytes < 1000 ? `${kilobytes} KB/s` : `${(kilobytes / 1000).toFixed(1)} MB/s`;
}

/** What strangers named, so that it neither hides nor turns around what is beside it. */
export const visible = (text) => text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\ufffd");

export const short = (text, most) =>
  visible(text.length > most ? `${text.slice(0, most)}…` : text);
