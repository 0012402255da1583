"use strict";
// Builds elements. A text from a run is only ever put in as a text node, so it cannot become markup.

const SVG = "http://www.w3.org/2000/svg";

/** Returns a new element. Attributes whose value is null or false are left out; "on…" are listeners. */
function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Returns a new SVG element. */
function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== false && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const rounded = (value) => (Number.isInteger(value) ? String(value) : Number(value).toPrecision(3));
const spaced = (word) => word.replaceAll("_", " ");

/** Returns a duration in words; seconds may be null. */
function duration(seconds) {
  if (seconds === null) return "unknown";
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const GLYPHS = { success: "✓", failure: "✗", error: "!", pending: "·" };

/** Returns the sign of an outcome: shape and colour, and a word for readers that see neither. */
function glyph(outcome) {
  return el(
    "span",
    { class: `glyph ${outcome}` },
    el("span", { "aria-hidden": "true" }, GLYPHS[outcome]),
    el("span", { class: "unseen" }, outcome),
  );
}

/** Returns a labelled drop-down list; options are [value, text]. */
function choice(label, value, options, onchange) {
  const list = el(
    "select",
    { onchange: (event) => onchange(event.target.value) },
    options.map(([each, text]) => el("option", { value: each, selected: each === value }, text)),
  );
  return el("label", { class: "choice" }, el("span", {}, label), list);
}

/** Says a text to screen readers. */
function speak(text) {
  document.getElementById("spoken").textContent = text;
}

/** Returns a command with a button that copies it. */
function command(text) {
  const button = el("button", { class: "copy", type: "button", "aria-label": `copy: ${text}` }, "copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = el("textarea", { readonly: true }, text); // no clipboard from file://
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    button.textContent = "copied";
    speak("copied");
  });
  return el("span", { class: "line" }, el("code", {}, text), button);
}
