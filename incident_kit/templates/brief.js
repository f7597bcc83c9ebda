"use strict";
(() => {
  const { datasets, specs, config, dark } = JSON.parse(document.getElementById("charts").textContent);
  const night = matchMedia("screen and (prefers-color-scheme: dark)");
  const phone = matchMedia("screen and (max-width: 780px)");
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
    } catch (error) {
      place.closest("figure").classList.remove("is-live"); // the static picture stays
    }
  };
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
