// The form of the API key at the top of both pages.
import { byId } from "./dom.js";
import { useKey } from "./api.js";

/** Ask for a key: open the form, and lead there. */
export function askForKey() {
  byId("key").open = true;
  byId("key-value").focus();
}

/** Call `used` whenever a key is given. Escape closes the form. */
export function whenKeyIsGiven(used) {
  const box = byId("key");
  const close = () => {
    box.open = false;
    box.querySelector("summary").focus(); // what had the focus is hidden now
  };
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    useKey(byId("key-value").value);
    close();
    used();
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && box.open) close();
  });
}
