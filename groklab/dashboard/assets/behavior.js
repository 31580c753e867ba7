// What happens in the browser alone: light and dark, the address bar, saving pictures, playing checkpoints, keys.
"use strict";

(function () {
  const wants = window.matchMedia("(prefers-color-scheme: dark)");
  const THEMES = ["auto", "light", "dark"];
  const SIGNS = { auto: "◐", light: "☀", dark: "☾" };

  function chosen() {
    try { return localStorage.getItem("groklab-theme") || "auto"; } catch (error) { return "auto"; }
  }

  function named() {
    const choice = chosen();
    return choice === "auto" ? (wants.matches ? "dark" : "light") : choice;
  }

  function dress() {
    document.documentElement.dataset.theme = named();
    const button = document.getElementById("switch");
    if (button) {
      button.textContent = SIGNS[chosen()];
      button.title = "colors: " + (chosen() === "auto" ? "as the system has them" : chosen());
    }
    return named();
  }

  document.documentElement.dataset.theme = named();
  wants.addEventListener("change", function () {
    const name = dress();
    if (window.dash_clientside && window.dash_clientside.set_props) window.dash_clientside.set_props("theme", { data: name });
  });

  window.groklab = {
    // The switch goes round: as the system has it, light, dark.
    theme: function (clicks) {
      if (clicks) {
        const next = THEMES[(THEMES.indexOf(chosen()) + 1) % THEMES.length];
        try { localStorage.setItem("groklab-theme", next); } catch (error) { /* private windows keep nothing */ }
      }
      return dress();
    },
    // An address to which a link, Back or the user has led; not one that stands there because the controls say so.
    visit: function (path, search) {
      if (path + search === written) return window.dash_clientside.no_update;
      written = null;
      return { path: path, search: search, at: Date.now() }; // the same address once more is another visit
    },
    // What is typed into a box reaches the page's control when nothing more has been typed for a moment.
    typed: function () {
      clearTimeout(pause);
      const context = window.dash_clientside.callback_context;
      const known = {};
      context.states_list[0].forEach(function (one) { known[one.id.control] = one.value || ""; });
      const changed = context.inputs_list[0].filter(function (one) { return (one.value || "") !== known[one.id.typed]; });
      if (changed.length) pause = setTimeout(function () {
        changed.forEach(function (one) {
          if (document.getElementById(JSON.stringify(one.id))) window.dash_clientside.set_props({ control: one.id.typed }, { value: one.value || "" });
        });
      }, 400);
      return window.dash_clientside.no_update;
    },
    write: function (address) {
      if (!address || address.path !== page(window.location.pathname)) return window.dash_clientside.no_update;
      written = address.path + address.search;
      if (written !== window.location.pathname + window.location.search) {
        window.history.replaceState(null, "", written);
        // Dash compares a link's address with the one that it knows: without this, a link back to that would lead nowhere.
        window.dash_clientside.set_props("location", { pathname: address.path, search: address.search, href: window.location.href });
      }
      links();
      return written;
    },
  };

  let written = null;
  let pause = null;

  // A page's own path: the first one has two, and any may end with a slash.
  function page(path) {
    const bare = path.replace(/\/+$/, "") || "/";
    return bare === "/runs" ? "/" : bare;
  }

  // Where the pages' names have no room beside each other, that of the page that is shown is brought into sight.
  new MutationObserver(function () {
    const here = document.querySelector("header nav a.here");
    const row = here && here.parentElement;
    if (row && row.scrollWidth > row.clientWidth) row.scrollLeft = here.offsetLeft - row.offsetLeft - (row.clientWidth - here.offsetWidth) / 2;
  }).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["class"] });

  function links() {
    document.querySelectorAll("a[data-api]").forEach(function (link) {
      link.setAttribute("href", link.getAttribute("href").split("?")[0] + window.location.search);
      if (link.dataset.kind === "csv") link.setAttribute("download", "");
    });
  }

  // — saving pictures —

  function drawn(name) {
    const place = document.getElementById(JSON.stringify({ graph: name }));
    return place && place.querySelector(".js-plotly-plot");
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("button[data-graph]");
    if (!button) return;
    const figure = drawn(button.dataset.graph);
    if (!figure) return;
    const box = figure.getBoundingClientRect();
    // Names that stand once on the page, for several pictures, are in each that is saved.
    const names = figure.data.some(function (trace) { return trace.showlegend === true; });
    const saved = names ? { data: figure.data, layout: Object.assign({}, figure.layout, { showlegend: true }) } : figure;
    window.Plotly.downloadImage(saved, {
      format: button.dataset.format, width: Math.round(box.width), height: Math.round(box.height),
      scale: button.dataset.format === "png" ? 2 : 1, filename: "groklab-" + button.dataset.graph,
    });
  });
  document.addEventListener("pointerdown", function (event) { if (event.target.closest("a[data-api]")) links(); });
  document.addEventListener("focusin", function (event) { if (event.target.closest("a[data-api]")) links(); });

  // — playing checkpoints: a frame follows when the one before is drawn —

  let timer = null;
  let shown = 0;

  function handle() { return document.querySelector(".player [role=slider]"); }

  function stop() {
    if (timer) clearInterval(timer);
    timer = null;
    const button = document.getElementById("play");
    if (button) { button.textContent = "▶"; button.setAttribute("aria-label", "play the checkpoints"); }
  }

  function move(place) {
    window.dash_clientside.set_props({ frame: "step" }, { value: place });
    shown = performance.now();
  }

  function advance() {
    const slider = handle();
    if (!slider) return stop();
    const last = Number(slider.getAttribute("aria-valuemax"));
    const now = Number(slider.getAttribute("aria-valuenow"));
    const label = document.querySelector(".player .step > *");
    const waits = label && Number(label.dataset.place) !== now;
    if (waits && performance.now() - shown < 8000) return undefined;
    if (now >= last) return stop();
    return move(now + 1);
  }

  function play() {
    const slider = handle();
    if (!slider) return;
    if (timer) { stop(); return; }
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (Number(slider.getAttribute("aria-valuenow")) >= Number(slider.getAttribute("aria-valuemax"))) move(0);
    timer = setInterval(advance, still ? 1200 : 450);
    const button = document.getElementById("play");
    button.textContent = "❚❚";
    button.setAttribute("aria-label", "stop");
  }

  document.addEventListener("click", function (event) { if (event.target.closest("#play")) play(); });
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input:not([type=checkbox]):not([type=radio]), textarea, [role=listbox]")) return;
    const has = event.target.closest("input, button, a, [role=combobox]"); // what space does something to already
    if (event.key === " " && handle() && !has) { event.preventDefault(); play(); }
    if (event.key === "/") {
      const box = document.querySelector(".text input, input.text");
      if (box) { event.preventDefault(); box.focus(); }
    }
  });
  window.addEventListener("popstate", stop);
})();
