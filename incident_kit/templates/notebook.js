"use strict";
(() => {
  const { specs, dark } = JSON.parse(document.querySelector('body > script[type="application/json"]').textContent);
  const night = matchMedia("screen and (prefers-color-scheme: dark)");
  const kept = new Set(["datasets", "domain", "values"]); // data keep their colours' names
  const recoloured = (node) => {
    if (Array.isArray(node)) return node.map(recoloured);
    if (typeof node === "string") return Object.hasOwn(dark, node) ? dark[node] : node;
    if (node === null || typeof node !== "object") return node;
    return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, kept.has(key) ? value : recoloured(value)]));
  };
  const drawn = new Map();
  const draw = async (place) => {
    const spec = structuredClone(specs[Number(place.dataset.chart)]);
    const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, tooltip: { theme: night.matches ? "dark" : "light" } };
    try {
      drawn.get(place)?.finalize();
      drawn.set(place, await vegaEmbed(place, night.matches ? recoloured(spec) : spec, options));
      place.closest("figure").classList.add("is-live");
    } catch (error) {
      place.closest("figure").classList.remove("is-live"); // the static picture stays
    }
  };
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const place = target.querySelector(".live");
      if (isIntersecting && !drawn.has(place)) draw(place);
    }
  }, { rootMargin: "800px" });
  for (const figure of document.querySelectorAll("figure.chart")) seen.observe(figure); // what is not shown yet is never seen
  night.addEventListener("change", async () => {
    for (const place of [...drawn.keys()]) await draw(place);
  });
})();
