// A chart that stays where it is: rows are swapped in place, so zoom, brush and focus survive.
const SHARED = "__incidentKitVega"; // the drawing code, once a page

async function drawingCode(model) {
  const name = model.get("bundle").slice("IPY_MODEL_".length);
  const bundle = await model.widget_manager.get_model(name);
  const url = URL.createObjectURL(new Blob([bundle.get("code")], { type: "text/javascript" }));
  try {
    return (await import(url)).vegaEmbed;
  } finally {
    URL.revokeObjectURL(url);
  }
}

function vegaEmbed(model) {
  globalThis[SHARED] ??= drawingCode(model).catch((error) => {
    delete globalThis[SHARED]; // the next view may have more luck
    throw error;
  });
  return globalThis[SHARED];
}

function isDark() {
  const light = document.body.dataset.jpThemeLight;
  return light === undefined ? matchMedia("(prefers-color-scheme: dark)").matches : light === "false";
}

function render({ model, el }) {
  const held = { ...model.get("patch").rows }; // the newest rows of every dataset
  let drawn = null; // { view, finalize, place }
  let busy = Promise.resolve();
  let waiting = false;
  let gone = false;
  let dark = isDark();
  const frame = document.createElement("div"); // stays while charts come and go
  frame.className = "ik-frame";
  const brush = model.get("across") && brushes(model, frame); // where the chart has windows on it (brush.js)

  const one = (work) => (busy = busy.then(work, work).catch(say));

  function clear() {
    drawn?.finalize();
    drawn?.place.remove();
    drawn = null;
  }

  function say(error) {
    clear();
    const words = document.createElement("p");
    words.setAttribute("role", "alert");
    words.textContent = `The chart could not be drawn: ${error?.message ?? error} `;
    const again = document.createElement("button");
    again.textContent = "Try again";
    again.addEventListener("click", () => one(draw));
    words.append(again);
    el.replaceChildren(words);
    model.set("trouble", String(error?.message ?? error));
    model.save_changes();
  }

  async function draw() {
    if (gone) return;
    const embed = await vegaEmbed(model);
    const spec = structuredClone(model.get(dark ? "dark" : "light"));
    spec.datasets = { ...spec.datasets, ...structuredClone({ ...model.get("rows"), ...held }) };
    const place = document.createElement("div");
    const { view, finalize } = await embed(place, spec, { renderer: "svg", actions: false, ast: true, tooltip: { theme: dark ? "dark" : "light" } });
    if (gone) return finalize();
    clear();
    drawn = { view, finalize, place };
    frame.prepend(place);
    if (frame.parentNode !== el) el.replaceChildren(frame);
    brush?.over(place, dark);
    tell();
  }

  async function swap() {
    waiting = false;
    if (!drawn || gone) return;
    const { number, rows } = model.get("patch");
    for (const [name, values] of Object.entries(rows)) drawn.view.data(name, structuredClone(values));
    await drawn.view.runAsync();
    el.dataset.drawn = number;
    tell();
  }

  function tell() {
    const { number } = model.get("patch");
    model.set("trouble", "");
    model.set("drawn", number);
    model.save_changes();
  }

  function patched() {
    Object.assign(held, model.get("patch").rows);
    if (waiting) return; // of several changes at once only the last is drawn
    waiting = true;
    one(swap);
  }

  function themed() {
    if (isDark() === dark) return;
    dark = isDark();
    one(draw);
  }

  const theme = new MutationObserver(themed);
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", themed);
  model.on("change:patch", patched);
  one(draw);
  return () => {
    gone = true;
    theme.disconnect();
    scheme.removeEventListener("change", themed);
    model.off("change:patch", patched);
    brush?.finish();
    drawn?.finalize();
  };
}

export default { render };
