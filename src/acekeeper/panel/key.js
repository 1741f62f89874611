// The API key: asked for when a call needs it, kept in this tab alone.

import { find, setText } from "./dom.js";

const NAME = "acekeeper-key";
const dialog = find("#ask");
const field = find("#given");
const given = new EventTarget();
let asking = null;
let isDeclined = false;

export const readKey = () => sessionStorage.getItem(NAME);

/** Unless it is another one by now. */
export function forgetKey(key) {
  if (readKey() === key) sessionStorage.removeItem(NAME);
}

/** Whether one was given. Who asks while it is asked shares the answer. */
export function askKey(why) {
  setText(find("#why"), why);
  asking ??= new Promise((resolve) => {
    field.value = "";
    dialog.addEventListener(
      "close",
      () => {
        asking = null;
        isDeclined = dialog.returnValue !== "given";
        resolve(!isDeclined);
      },
      { once: true },
    );
    dialog.returnValue = "";
    dialog.showModal();
    field.focus();
  });
  return asking;
}

/** For what cannot go on without. Who wants to give none is not asked by the next that needs it. */
export function nextKey(why, signal) {
  const key = new Promise((resolve) => {
    given.addEventListener("given", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
  if (!isDeclined) askKey(why);
  return key;
}

field.addEventListener("input", () => field.setCustomValidity(""));
find("form", dialog).addEventListener("submit", (event) => {
  event.preventDefault();
  const key = field.value.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) {
    field.setCustomValidity("A key has letters, digits and signs, and no blanks.");
    field.reportValidity();
    return;
  }
  sessionStorage.setItem(NAME, key);
  dialog.close("given");
  given.dispatchEvent(new Event("given"));
});
find("#cancel").addEventListener("click", () => dialog.close(""));
