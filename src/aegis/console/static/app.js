/* The few things that a page cannot do by itself: say whether the stream is up, lock a form that
   was sent, draw the explore charts. Everything else works without any script. */
(() => {
  "use strict";
  const say = (text, on) => {
    const word = document.getElementById("connection");
    if (word && word.textContent !== text) word.textContent = text;
    const tag = document.getElementById("live");
    if (tag) { tag.classList.toggle("on", on); tag.classList.toggle("ok", on); tag.classList.toggle("warn", !on); }
  };
  const clock = () => new Date().toISOString().slice(11, 19) + " UTC";
  let last = clock();
  for (const name of ["htmx:sse:after:connection", "htmx:sse:after:message"])
    addEventListener(name, () => { last = clock(); say("Live", true); });
  for (const name of ["htmx:sse:error", "htmx:sse:close"])
    addEventListener(name, () => say("Not connected, showing " + last, false));

  addEventListener("submit", (event) => {
    if (event.target.hasAttribute("data-keep")) return;  // its answer is a file, the page stays
    const buttons = [...event.target.elements].filter((one) => one.tagName === "BUTTON");
    for (const button of buttons) // also those that stand elsewhere on the page
      setTimeout(() => { button.disabled = true; }, 0);
  });
  addEventListener("pageshow", () => {
    for (const button of document.querySelectorAll("button:disabled:not([data-off])")) button.disabled = false;
  });
  const faults = document.getElementById("faults");
  if (faults) faults.focus();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const draw = (place) => {
    if (!window.uPlot) return;
    const given = JSON.parse(document.getElementById(place.dataset.source).textContent);
    const axis = () => ({
      stroke: colour("--ink2"), grid: { stroke: colour("--line"), width: 1 },
      ticks: { stroke: colour("--line") }, font: "13px system-ui",
    });
    const strokes = ["--shared", "--own", "--third"], dashes = [[], [6, 4], [2, 4]];
    const series = given.series.map((label, i) => ({
      label, stroke: colour(strokes[i % 3]), width: 2, dash: dashes[i % 3], spanGaps: true,
    }));
    place.textContent = "";
    new uPlot({
      width: place.clientWidth, height: 300, scales: { x: { time: false } },
      cursor: { drag: { x: true, y: false } }, axes: [{ ...axis(), incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000] }, axis()],
      series: [{ label: "Round" }, ...series],
    }, given.data, place);
  };
  const all = () => document.querySelectorAll("[data-source]").forEach(draw);
  addEventListener("DOMContentLoaded", () => {
    all();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
    let waiting;
    addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(all, 200); });
  });
})();
