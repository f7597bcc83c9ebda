// Windows over the time axis of a chart: drag across a panel for a new one, drag an edge or the bar on top, or use the keys.
const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -1e6, End: 1e6 };
const CLICK = 3; // pixels that a hand moves without dragging
const SETTLED = 80; // milliseconds without a move before Python is told

// They lie in the frame around the chart, so that a chart drawn anew takes nothing out of a hand.
function brushes(model, frame) {
  const [start, end] = model.get("limits");
  const step = model.get("step");
  const layer = part(frame, "ik-brush");
  const bands = {};
  let panels = [];
  let spans = {}; // name -> [from, until], as they are drawn
  let hand; // the name of the one in it, and what takes it out
  let timer;

  function part(parent, kind, attributes = {}) {
    const made = document.createElement("div");
    made.className = kind;
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    parent.append(made);
    return made;
  }

  function lay() {
    const [first, last] = panels.map((panel) => panel.getBoundingClientRect());
    if (!first?.width) return; // not on the screen
    const origin = frame.getBoundingClientRect();
    layer.style.left = `${first.left - origin.left + frame.scrollLeft}px`;
    layer.style.top = `${first.top - origin.top + frame.scrollTop}px`;
    layer.style.width = `${first.width}px`;
    layer.style.height = `${last.bottom - first.top}px`;
  }

  const clock = (at) => new Date(at).toISOString().slice(11, 19).replace(/:00$/, "");
  const cut = (at) => Math.min(Math.max(start + Math.round((at - start) / step) * step, start), end);
  function under(event) {
    const { left, width } = layer.getBoundingClientRect();
    return start + ((event.clientX - left) / width) * (end - start);
  }

  function band(name) {
    const box = part(layer, `ik-band ik-${name}`);
    // JupyterLab takes keys away from what has the focus, unless that says not to
    const keys = { role: "slider", tabindex: 0, "data-lm-suppress-shortcuts": "true" };
    const slider = (kind, label) => part(box, kind, { ...keys, "aria-label": `${name}, ${label}` });
    const ends = { grip: slider("ik-grip", "all of it"), from: slider("ik-edge ik-from", "from"), until: slider("ik-edge ik-until", "until") };
    for (const [end, node] of Object.entries(ends)) {
      node.addEventListener("keydown", (event) => {
        if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey) return;
        event.preventDefault();
        show(name, moved(spans[name], end, KEYS[event.key] * step));
        tell(0);
      });
      node.addEventListener("pointerdown", (event) => {
        const [was, at] = [spans[name], under(event)];
        drag(event, name, (now) => moved(was, end, now - at));
        node.focus();
      });
    }
    return { box, ...ends };
  }

  function moved([from, until], what, by) {
    const size = until - from;
    if (what === "from") return [Math.min(cut(from + by), until - step), until];
    if (what === "until") return [from, Math.max(cut(until + by), from + step)];
    const begin = Math.min(Math.max(cut(from + by), start), end - size);
    return [begin, begin + size];
  }

  function show(name, span) {
    spans = { ...spans, [name]: span };
    bands[name] ??= band(name);
    const { box, grip, from, until } = bands[name];
    const share = (at) => `${(100 * (at - start)) / (end - start)}%`;
    box.style.left = share(span[0]);
    box.style.width = `calc(${share(span[1])} - ${share(span[0])})`;
    const said = `${clock(span[0])} to ${clock(span[1])}`;
    grip.textContent = said;
    for (const [node, at, words] of [[grip, span[0], said], [from, span[0], clock(span[0])], [until, span[1], clock(span[1])]]) {
      node.setAttribute("aria-valuemin", start);
      node.setAttribute("aria-valuemax", end);
      node.setAttribute("aria-valuenow", at);
      node.setAttribute("aria-valuetext", `${words} UTC`);
    }
  }

  function drag(event, name, follow) {
    if (event.button !== 0) return;
    event.preventDefault();
    hand?.stop.abort();
    layer.setPointerCapture(event.pointerId);
    const [x, was, stop] = [event.clientX, spans[name], new AbortController()];
    let is = false;
    const on = (kind, does) =>
      layer.addEventListener(kind, (now) => now.pointerId === event.pointerId && does(now), { signal: stop.signal });
    function end() {
      stop.abort();
      hand = undefined;
      if (is) tell(0);
    }
    hand = { name, stop };
    on("pointermove", (now) => {
      is ||= Math.abs(now.clientX - x) > CLICK;
      if (!is) return;
      show(name, follow(under(now)));
      tell(SETTLED);
    });
    on("pointerup", end);
    on("pointercancel", () => {
      show(name, was);
      end();
    });
  }

  function pressed(event) {
    const { left, right, top, bottom } = layer.getBoundingClientRect();
    if (event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom) return;
    const at = under(event);
    const wide = (now) => moved([cut(Math.min(at, now)), cut(Math.max(at, now))], "until", 0);
    drag(event, event.shiftKey && spans.baseline ? "baseline" : "window", (now) => moved(wide(now), "grip", 0));
  }

  function tell(after) {
    clearTimeout(timer);
    timer = setTimeout(say, after);
  }

  function say() {
    timer = undefined;
    if (JSON.stringify(spans) === JSON.stringify(model.get("spans"))) return;
    model.set("spans", spans);
    model.save_changes();
  }

  function told() {
    spans = { ...model.get("spans"), ...(hand && { [hand.name]: spans[hand.name] }) }; // a hand is not overruled
    for (const name of Object.keys(bands).filter((one) => !(one in spans))) {
      bands[name].box.remove();
      delete bands[name];
    }
    for (const [name, span] of Object.entries(spans)) show(name, span);
  }

  // Lie over a chart: the first, or one that is drawn anew.
  function over(place, isDark) {
    panels = model.get("across").map((name) => place.querySelector(`.${name}_group > g > path.background`));
    const svg = place.querySelector("svg");
    svg.classList.add("ik-brushed");
    svg.addEventListener("pointerdown", pressed);
    layer.classList.toggle("dark", isDark);
    lay();
  }

  function finish() {
    clearTimeout(timer);
    if (timer) say(); // what is drawn is not lost
    sizes.disconnect();
    model.off("change:spans", told);
  }

  told();
  model.on("change:spans", told);
  const sizes = new ResizeObserver(lay);
  sizes.observe(frame);
  return { over, finish };
}
