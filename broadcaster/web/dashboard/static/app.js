"use strict";
// What JavaScript adds: plots, times in the reader's own zone, and shorter forms. Nothing depends on it.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = (extra) => ({ stroke: colour("--quiet"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") }, ...extra });

  function draw(figure) {
    const canvas = figure.querySelector(".canvas");
    const data = JSON.parse(figure.dataset.plot);
    const counts = figure.querySelector("figcaption").textContent === "Messages a minute";
    const series = counts
      ? [{ label: "messages", stroke: colour("--delivered"), fill: colour("--note-soft"), width: 2, paths: uPlot.paths.bars({ size: [0.8, 40] }) }]
      : [
          { label: "answered", stroke: colour("--flight"), width: 2, spanGaps: true, points: { show: true } },
          { label: "delivered", stroke: colour("--delivered"), width: 2, spanGaps: true, points: { show: true } },
        ];
    const values = counts ? [data.minutes, data.messages] : [data.minutes, data.answered, data.delivered];
    // A lone minute has no width of its own.
    const first = data.minutes[0], last = data.minutes.at(-1), margin = first === last ? 300 : 60;
    const span = () => [first - margin, last + margin];
    canvas.replaceChildren();
    new uPlot(
      {
        width: Math.max(200, canvas.clientWidth), height: 208, series: [{}, ...series],
        scales: { x: { range: span }, y: { range: (_, __, high) => [0, Math.max(high || 0, 0.01) * 1.1] } },
        axes: [axis(), axis({ size: 56 })], cursor: { drag: { x: false, y: false } },
      },
      values, canvas,
    );
  }

  const localTime = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  function localise(time) {
    time.title = time.textContent;
    time.textContent = localTime.format(new Date(time.dateTime));
  }

  function dress(root) {
    root.querySelectorAll("time[datetime]:not([title])").forEach(localise);
    root.querySelectorAll("figure[data-plot]").forEach(draw);
  }

  function offerTemplates(channel, template) {
    const account = channel.selectedOptions[0]?.dataset.account;
    for (const option of template.options) option.hidden = Boolean(option.value) && option.dataset.account !== account;
    if (template.selectedOptions[0]?.hidden) template.value = "";
  }

  document.addEventListener("DOMContentLoaded", () => {
    dress(document);
    const channel = document.getElementById("channel"), template = document.getElementById("template");
    if (channel && template) {
      offerTemplates(channel, template);
      channel.addEventListener("change", () => offerTemplates(channel, template));
    }
    const zone = document.getElementById("zone");
    if (zone?.dataset.unset) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
    document.querySelectorAll('input[name="at"]').forEach((at) =>
      at.addEventListener("input", () => { document.querySelector('input[name="when"][value="later"]').checked = true; }));
  });
  document.addEventListener("htmx:afterSwap", () => dress(document));
  let wait;
  window.addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(() => dress(document), 150); });
})();
