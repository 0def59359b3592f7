"use strict";
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const toggle = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const label = () => {
    toggle.textContent = isDark() ? "Light" : "Dark";
    toggle.setAttribute("aria-label", `Show in ${isDark() ? "light" : "dark"} colours`);
  };
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  dark.addEventListener("change", label);
  label();
  toggle.hidden = false;

  const collator = new Intl.Collator("en", { numeric: true });
  // The exact value, where a cell shows fewer digits; what is undefined goes last either way.
  const number = (cell) => parseFloat((cell.title || cell.textContent).replaceAll(",", ""));
  const key = (cell, kind) =>
    kind === "number" ? number(cell) : cell.classList.contains("undefined") ? NaN : cell.textContent;
  const missing = (value) => typeof value === "number" && Number.isNaN(value);
  const compare = (a, b) => (typeof a === "number" ? a - b : collator.compare(a, b));

  const sort = (heading) => {
    const column = heading.cellIndex;
    const body = heading.closest("table").tBodies[0];
    // Numbers begin with the greatest, words with the first.
    const first = heading.dataset.sort === "number" ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const order = heading.getAttribute("aria-sort") === first ? second : first;
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...body.rows].map((row) => [key(row.cells[column], heading.dataset.sort), row]);
    rows.sort(([a], [b]) => (missing(a) || missing(b) ? missing(a) - missing(b) : sign * compare(a, b)));
    for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", order);
    body.append(...rows.map(([, row]) => row));
  };
  const dress = () => {
    for (const heading of document.querySelectorAll("th[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(heading));
      heading.append(button);
    }
  };
  dress();

  // On paper everything is open. Headings with buttons would not be repeated on every sheet.
  let opened = [];
  addEventListener("beforeprint", () => {
    for (const button of document.querySelectorAll("th[data-sort] button")) button.replaceWith(...button.childNodes);
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const fold of opened) fold.open = true;
  });
  addEventListener("afterprint", () => {
    for (const fold of opened) fold.open = false;
    dress();
  });
})();
