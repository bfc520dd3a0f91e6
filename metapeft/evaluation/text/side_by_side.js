// One item at a time, its rating kept in the browser's storage; see side_by_side.py. No text of the data passes here.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const items = [...document.querySelectorAll("article")];
  const study = document.body.querySelector("main").dataset.study;
  const place = `metapeft side by side ${study}`;
  const choices = { a: byId("a"), tie: byId("tie"), b: byId("b") };
  const said = { a: "A better", tie: "the same", b: "B better" };
  let state = { ratings: {}, rater: "" };
  let kept = true;
  let saved = true;
  let at = 0;

  try {
    const found = JSON.parse(localStorage.getItem(place) ?? "null");
    if (found) state = found;
  } catch {
    kept = false;
  }

  const keep = () => {
    try {
      localStorage.setItem(place, JSON.stringify(state));
    } catch {
      kept = false;
    }
    if (!kept) byId("unkept").hidden = false;
  };

  const count = () => items.filter((item) => state.ratings[item.id]).length;

  const show = (to, focus = true) => {
    at = Math.max(0, Math.min(to, items.length - 1));
    items.forEach((item, index) => (item.hidden = index !== at));
    const own = state.ratings[items[at].id];
    for (const [name, button] of Object.entries(choices)) button.setAttribute("aria-pressed", String(own === name));
    byId("back").disabled = at === 0;
    byId("next").disabled = at === items.length - 1;
    const done = count();
    byId("bar").value = done;
    byId("progress").textContent = done < items.length ? `${done} of ${items.length} rated` : `all ${done} rated: save`;
    if (focus) {
      window.scrollTo(0, 0);
      items[at].querySelector("h2").focus({ preventScroll: true });
    }
  };

  const rate = (choice) => {
    const id = items[at].id;
    state.ratings[id] = choice;
    saved = false;
    keep();
    byId("status").textContent = `Item ${at + 1}: ${said[choice]}.`;
    const after = [...items.keys()].map((step) => (at + 1 + step) % items.length);
    const open = after.find((index) => !state.ratings[items[index].id]);
    show(open ?? at, open !== undefined);
    if (open === undefined) byId("save").focus();
  };

  const save = () => {
    const file = { study, rater: state.rater, saved: new Date().toISOString(), ratings: state.ratings };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1) + "\n"], { type: "application/json" }));
    const rater = state.rater.replace(/[^\p{L}\p{N}]+/gu, "-");
    link.download = `ratings-${study}${rater ? "-" + rater : ""}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    saved = true;
    byId("status").textContent = `${count()} ratings written to ${link.download}.`;
  };

  for (const [name, button] of Object.entries(choices))
    button.addEventListener("click", (event) => event.detail < 2 && rate(name)); // the second click of two is no rating
  byId("back").addEventListener("click", () => show(at - 1));
  byId("next").addEventListener("click", () => show(at + 1));
  byId("save").addEventListener("click", save);
  byId("rater").value = state.rater;
  byId("rater").addEventListener("input", (event) => {
    state.rater = event.target.value.trim();
    keep();
  });
  const keys = {
    ...{ a: () => rate("a"), t: () => rate("tie"), b: () => rate("b") },
    ...{ p: () => show(at - 1), n: () => show(at + 1), s: save },
  };
  document.addEventListener("keydown", (event) => {
    if (!byId("keys").checked || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target === byId("rater")) return;
    const act = keys[event.key.toLowerCase()];
    if (act) {
      event.preventDefault();
      act();
    }
  });
  window.addEventListener("beforeunload", (event) => {
    if (!kept && !saved) event.preventDefault();
  });

  byId("controls").hidden = false;
  keep();
  const open = items.findIndex((item) => !state.ratings[item.id]);
  show(open < 0 ? 0 : open, false);
})();
