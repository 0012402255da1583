"use strict";
// Small plots over one axis of control steps. Action t is executed from step t to step t + 1.

const HEIGHT = 100;

/** Unpacks the trace of an arm: actions by step and dimension, and the inference behind every step. */
function unpack(trace) {
  const bytes = Uint8Array.from(atob(trace.actions), (letter) => letter.charCodeAt(0));
  const source = new Int32Array(trace.steps);
  trace.source.forEach(([start, inference], i) => source.fill(inference, start, trace.source[i + 1]?.[0] ?? trace.steps));
  return { ...trace, values: new Float32Array(bytes.buffer), source, clippedSet: new Set(trace.clipped) };
}

const actionOf = (trace, step, dim) => trace.values[step * trace.dim + dim];

/** Returns the first step at which two arms execute different actions; null if there is none. */
function firstDifference(one, other) {
  if (one === null || other === null || one.dim !== other.dim) return null;
  const length = Math.min(one.steps, other.steps) * one.dim;
  for (let i = 0; i < length; i++) if (one.values[i] !== other.values[i]) return Math.floor(i / one.dim);
  return one.steps === other.steps ? null : Math.min(one.steps, other.steps);
}

/** The panel of plots under the players. `at(step)` moves its cursor and updates the numbers. */
class Plots {
  /**
   * @param {object[]} arms the details of each arm, with `name`, `number`, `trace` and `film`
   * @param {object} task the task, with names and units of the actions
   * @param {number} last the last step
   * @param {(step: number) => void} onseek called when the reader points at a step
   */
  constructor(arms, task, last, onseek) {
    Object.assign(this, { arms, task, last, onseek });
    this.numbers = [];
    this.panel = el("div", { class: "plots" });
    const [one, other] = [arms[0]?.trace ?? null, arms[1]?.trace ?? null];
    this.differ = arms.length > 1 ? firstDifference(one, other) : null;
    if (this.differ !== null) this.panel.style.setProperty("--differ", this.share(this.differ));
    this.panel.classList.toggle("differing", this.differ !== null);
    for (const arm of arms) if (arm.trace) this.addChunks(arm);
    this.addSubgoals();
    if (arms.some((arm) => arm.film)) this.addScore();
    if (arms.some((arm) => arm.realtime && arm.trace)) this.addAges();
    const dims = Math.max(0, ...arms.map((arm) => arm.trace?.dim ?? 0));
    for (let dim = 0; dim < dims; dim++) this.addAction(dim);
  }

  share(step) {
    return this.last ? step / this.last : 0;
  }

  /** Adds a row: name, drawing, and the value at the cursor. */
  add(name, unit, parts, number, height = "") {
    const value = el("span", { class: "value" });
    const drawing = svg("svg", { viewBox: `0 0 ${this.last || 1} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" }, parts);
    const plot = el("div", { class: `plot ${height}` }, drawing);
    const seek = (event) => {
      const box = plot.getBoundingClientRect();
      this.onseek(((event.clientX - box.left) / box.width) * this.last);
    };
    plot.addEventListener("pointerdown", (event) => {
      plot.setPointerCapture(event.pointerId);
      seek(event);
    });
    plot.addEventListener("pointermove", (event) => event.buttons && seek(event));
    this.panel.append(el("div", { class: "row" }, el("span", { class: "label" }, name, unit ? el("small", {}, unit) : null), plot, value));
    this.numbers.push((step) => value.replaceChildren(...number(step)));
  }

  /** Chunks as alternating bands, inferences as bars of their duration, stalled and clipped steps. */
  addChunks(arm) {
    const { trace } = arm;
    const longest = usualMost(arm.infer_ms);
    const parts = [];
    for (const [start, end, inference] of runsOf(trace.source)) {
      const kind = inference < 0 ? "stalled" : inference % 2 ? "odd" : "even";
      parts.push(svg("rect", { class: `chunk ${kind} arm${arm.number}`, x: start, y: 0, width: end - start, height: HEIGHT }));
    }
    trace.observed.forEach((step, k) => {
      const ms = arm.infer_ms[k] ?? 0;
      const top = HEIGHT * (1 - 0.9 * Math.min(1, ms / longest));
      parts.push(svg("line", { class: `inference arm${arm.number}`, x1: step, x2: step, y1: HEIGHT, y2: top }));
    });
    for (const step of trace.clipped) parts.push(svg("line", { class: "clip", x1: step + 0.5, x2: step + 0.5, y1: 0, y2: 18 }));
    this.add([swatch(arm.number), `${arm.name}: chunks`], "bars: inference time", parts, (step) => chunkWords(arm, step), "low");
  }

  /** Spans in which each subgoal held; without a film, from the step at which the record saw it first. */
  addSubgoals() {
    for (const arm of this.arms) {
      this.task.subgoals.forEach((name) => {
        const spans = arm.film?.subgoals[name] ?? spansOf(arm, name);
        if (spans === null) return;
        const bars = spans.map(([first, end]) =>
          svg("rect", { class: `held arm${arm.number}`, x: first, y: 20, width: Math.max(end - 1 - first, this.last / 200), height: 60 }));
        const now = (step) => [spans.some(([first, end]) => first <= Math.min(step, arm.steps) && Math.min(step, arm.steps) < end) ? "✓ holds" : "–"];
        this.add([swatch(arm.number), name], "subgoal", bars, now, "thin");
      });
    }
  }

  addScore() {
    const lines = this.arms.filter((arm) => arm.film).map((arm) => {
      const { scores } = arm.film;
      const path = scores.map((score, i) => `${i ? "H" : "M"}${i}${i ? "V" : ","}${96 - 92 * score}`).join("");
      return svg("path", { class: `curve arm${arm.number}`, d: path });
    });
    const now = (step) => this.values((arm) => (arm.film ? rounded(arm.film.scores[Math.min(step, arm.film.frames - 1)]) : null));
    this.add("score", "0 to 1", lines, now, "low");
  }

  /** Age of each executed action in virtual time: steps since the observation behind it. */
  addAges() {
    const age = (arm, step) => (arm.trace && step < arm.trace.steps && arm.trace.source[step] >= 0 ? step - arm.trace.observed[arm.trace.source[step]] : null);
    const most = Math.max(1, ...this.arms.flatMap((arm) => Array.from(arm.trace?.source ?? [], (_, step) => age(arm, step) ?? 0)));
    const lines = this.arms.map((arm) => this.curve(arm, (step) => age(arm, step), 0, most));
    this.add("age of the action", "steps", lines, (step) => this.values((arm) => age(arm, step)), "low");
  }

  addAction(dim) {
    const [name, unit] = this.task.actions[dim] ?? [`action ${dim}`, ""];
    const traces = this.arms.filter((arm) => arm.trace && dim < arm.trace.dim);
    let [low, high] = [Infinity, -Infinity];
    for (const { trace } of traces)
      for (let step = 0; step < trace.steps; step++) {
        low = Math.min(low, actionOf(trace, step, dim));
        high = Math.max(high, actionOf(trace, step, dim));
      }
    const lines = traces.map((arm) => this.curve(arm, (step) => actionOf(arm.trace, step, dim), low, high));
    const now = (step) => this.values((arm) => (arm.trace && step < arm.trace.steps && dim < arm.trace.dim ? rounded(actionOf(arm.trace, step, dim)) : null));
    this.add(name, unit, lines, now);
  }

  /** A curve that keeps its value for one step; gaps where there is no value. */
  curve(arm, valueAt, low, high) {
    const scale = high > low ? 92 / (high - low) : 0;
    const words = [];
    let pen = false;
    for (let step = 0; step < (arm.trace?.steps ?? 0); step++) {
      const value = valueAt(step);
      if (value !== null) words.push(`${pen ? "V" : `M${step},`}${(96 - (value - low) * scale).toFixed(2)}H${step + 1}`);
      pen = value !== null;
    }
    return svg("path", { class: `curve arm${arm.number}`, d: words.join("") });
  }

  values(of) {
    return this.arms.map((arm) => {
      const value = of(arm);
      return el("span", { class: `text arm${arm.number}` }, value === null ? "–" : String(value));
    });
  }

  at(step) {
    this.panel.style.setProperty("--at", this.share(step));
    for (const number of this.numbers) number(step);
  }
}

/** Returns the 95 % quantile of times: the first inference may take a hundred times as long as the others. */
function usualMost(times) {
  const sorted = [...times].sort((one, other) => one - other);
  return sorted[Math.floor(0.95 * (sorted.length - 1))] || 1e-9;
}

/** Returns the runs of equal values as [start, end, value]. */
function runsOf(values) {
  const runs = [];
  values.forEach((value, i) => {
    if (i && values[i - 1] === value) runs.at(-1)[1] = i + 1;
    else runs.push([i, i + 1, value]);
  });
  return runs;
}

function spansOf(arm, name) {
  const first = arm.subgoal_steps?.[name];
  return first === undefined || first === null ? null : [[first, arm.steps + 1]];
}

/** Says where the action at a step comes from: its inference, the observation behind it, its age. */
function chunkWords(arm, step) {
  const { trace } = arm;
  if (step >= trace.steps) return ["ended"];
  const inference = trace.source[step];
  if (inference < 0) return [el("b", {}, "stalled")];
  const seen = trace.observed[inference];
  const ms = arm.infer_ms[inference];
  const words = [`#${inference}, saw step ${seen}`, ms === undefined ? null : `${rounded(ms)} ms`];
  if (trace.clippedSet.has(step)) words.push("clipped");
  return [words.filter(Boolean).join(" · ")];
}

/** Returns the step at which the chunk before or after a step begins. */
function nextChunk(trace, step, direction, last) {
  const starts = runsOf(trace.source).map(([start]) => start);
  if (direction > 0) return starts.find((start) => start > step) ?? last;
  return starts.findLast((start) => start < step) ?? 0;
}
