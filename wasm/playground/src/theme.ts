// Light, dark, or as the system has it. The choice is kept in the browser, where it may be.
import { byId } from "./dom";

const KEY = "lockgate-theme";
const CHOICES = ["system", "light", "dark"] as const;
const SIGNS = { system: "◐", light: "☀", dark: "☾" };
type Choice = (typeof CHOICES)[number];

export function startTheme() {
  const button = byId<HTMLButtonElement>("theme");
  let choice: Choice = stored();
  const apply = () => {
    if (choice === "system") delete document.documentElement.dataset["theme"];
    else document.documentElement.dataset["theme"] = choice;
    button.textContent = SIGNS[choice];
    const said = choice === "system" ? "as the system" : choice;
    button.setAttribute("aria-label", `Colours: ${said}`);
    button.title = `Colours: ${said}`;
  };
  button.addEventListener("click", () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length] ?? "system";
    apply();
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // Then it holds until the page is closed.
    }
  });
  apply();
}

function stored(): Choice {
  try {
    return CHOICES.find((choice) => choice === localStorage.getItem(KEY)) ?? "system";
  } catch {
    return "system";
  }
}
