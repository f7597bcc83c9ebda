"use strict";
(async () => {
  const packed = Uint8Array.from(atob(document.getElementById("charts").textContent), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { datasets, specs, config, dark, steps } = await new Response(unpacked).json();
  const night = matchMedia("screen and (prefers-color-scheme: dark)");
  const phone = matchMedia("screen and (max-width: 640px)");
  const recoloured = (node) => {
    if (Array.isArray(node)) return node.map(recoloured);
    if (typeof node === "string") return Object.hasOwn(dark, node) ? dark[node] : node;
    if (node === null || typeof node !== "object") return node;
    return Object.fromEntries(
      Object.entries(node).map(([key, value]) => [key, key === "domain" || key === "values" ? value : recoloured(value)]),
    );
  };
  const drawn = new Map();
  const draw = async (place) => {
    const { names, ...bare } = specs[place.dataset.figure][phone.matches ? "narrow" : "wide"];
    const spec = { ...bare, config };
    const full = { ...(night.matches ? recoloured(spec) : spec), datasets: Object.fromEntries(names.map((name) => [name, structuredClone(datasets[name])])) };
    const options = { renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip: { theme: night.matches ? "dark" : "light" } };
    try {
      drawn.get(place)?.finalize();
      drawn.set(place, await vegaEmbed(place, full, options));
      place.closest("figure").classList.add("is-live");
      performance.mark("first chart");
      if (place.dataset.figure === "what-if") await mark();
    } catch (error) {
      place.closest("figure").classList.remove("is-live"); // the static picture stays
    }
  };
  const slider = document.getElementById("slider");
  const setting = document.getElementById("setting");
  const mark = async () => {
    const place = document.querySelector('.live[data-figure="what-if"]');
    await drawn.get(place)?.view.data("marker", [{ at: steps[setting.valueAsNumber].at }]).runAsync();
  };
  if (slider) {
    const rows = [...document.querySelectorAll("#settings tbody tr")].slice(1); // the first says how it was
    slider.hidden = false;
    setting.addEventListener("input", () => {
      const step = steps[setting.valueAsNumber];
      setting.setAttribute("aria-valuetext", step.name);
      document.getElementById("said").textContent = step.said;
      rows.forEach((row, i) => row.classList.toggle("chosen", i === setting.valueAsNumber));
      mark();
    });
  }
  const visible = () => [...document.querySelectorAll(".live")].filter((place) => !place.closest("details:not([open])"));
  const drawAll = async () => {
    for (const place of visible()) await draw(place);
  };
  drawAll();
  night.addEventListener("change", drawAll);
  phone.addEventListener("change", drawAll);
  for (const details of document.querySelectorAll("details")) {
    details.addEventListener("toggle", async () => {
      for (const place of visible()) if (!drawn.has(place)) await draw(place);
    });
  }
})();
