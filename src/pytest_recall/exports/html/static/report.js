"use strict";
// Draws what the report's JSON says: two charts, the list of tests, and what the search finds.
// Text of tests becomes text nodes and nothing else; the page's policy lets no string become markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const runs = data.runs, tests = data.tests || [], timed = data.timed || [], fixes = data.fixes || [];
  const BAD = new Set(["failed", "error", "timed_out", "crashed", "not_run"]);
  const UNSTEADY = new Set(["flaky", "suspected_flaky", "order_dependent", "environment_dependent"]);
  const MARKS = { ".": ["passed", "passed"], X: ["passed", "passed unexpectedly"], F: ["failed", "failed"], E: ["failed", "error"], T: ["failed", "timed out"], C: ["failed", "crashed"] };
  const PAGE = 100;
  const $ = (id) => document.getElementById(id);
  const words = (name) => name.replaceAll("_", " ");
  const count = (number) => number.toLocaleString("en").replaceAll(",", "\u202f");

  function make(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "class") node.className = value;
      else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child != null));
    return node;
  }

  function seconds(value) {
    if (value == null) return "–";
    if (value < 0.00001) return "< 0.01 ms";
    if (value < 1) return `${Number((value * 1000).toPrecision(3))} ms`;
    return value < 60 ? `${Number(value.toPrecision(3))} s` : `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
  }

  const clock = (value) => (value === 0 ? "0" : value < 60 ? seconds(value) : `${Math.floor(value / 60)}:${String(Math.round(value % 60)).padStart(2, "0")} min`);

  // --- colours ---------------------------------------------------------------------------------

  const THEMES = [["", "◐", "as the system has them"], ["light", "☀", "light"], ["dark", "☾", "dark"]];
  const root = document.documentElement;
  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  const charts = new Map(); // place → what draws it anew

  function theme(name) {
    const [value, sign, word] = THEMES.find((one) => one[0] === name) || THEMES[0];
    if (value) root.dataset.theme = value; else delete root.dataset.theme;
    $("theme").textContent = sign;
    $("theme").setAttribute("aria-label", `Colours: ${word}`);
    for (const draw of charts.values()) draw();
  }
  function kept(value) {
    try { // a page opened as a file may not be allowed to keep anything
      if (value === undefined) return localStorage.getItem("pytest-recall-theme") || "";
      localStorage.setItem("pytest-recall-theme", value);
    } catch { /* then the choice holds for this visit */ }
    return value || "";
  }
  $("theme").addEventListener("click", () => {
    const next = THEMES[(THEMES.findIndex((one) => one[0] === (root.dataset.theme || "")) + 1) % THEMES.length][0];
    kept(next);
    theme(next);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme(root.dataset.theme || ""));

  // --- charts ----------------------------------------------------------------------------------

  // A chart over runs, equally far apart: `lines` are {label, colour, soft, values}; `say` tells of one run.
  function chart(place, lines, { height, low, high, show, say }) {
    const length = lines[0].values.length;
    const tip = make("div", { class: "tip", hidden: true });
    let drawn, width = place.clientWidth;
    const draw = () => {
      if (drawn) drawn.destroy();
      const muted = colour("muted"), line = colour("line");
      const axis = { stroke: muted, grid: { stroke: line, width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
      drawn = new uPlot({
        width, height, legend: { show: false }, padding: [10, 8, 0, 0],
        cursor: { y: false, points: { size: 8 }, drag: { x: false, y: false } },
        scales: { x: { time: false, range: () => [-0.5, Math.max(length - 0.5, 0.5)] }, y: { range: (_, min, max) => [low ? low(min) : 0, high ? high(max) : max * 1.15 || 1] } },
        axes: [
          { ...axis, grid: { show: false }, size: 28, space: 90, incrs: [1, 2, 5, 10, 20, 50, 100, 200], values: (_, at) => at.map((n) => (Number.isInteger(n) && place.days[n]) || "") },
          { ...axis, size: 60, space: 36, values: (_, at) => at.map(show) },
        ],
        series: [{}, ...lines.map((one) => ({
          label: one.label, stroke: colour(one.colour), width: 2, spanGaps: true,
          fill: one.soft ? colour(one.soft) : undefined,
          paths: length > 2 ? uPlot.paths.linear() : undefined,
          points: { show: length <= 40, size: 6, width: 1.5, stroke: colour(one.colour), fill: colour("card") },
        }))],
        hooks: { setCursor: [(plot) => {
          const at = plot.cursor.idx;
          tip.hidden = at == null || plot.cursor.left < 0;
          if (tip.hidden) return;
          tip.textContent = say(at);
          tip.style.left = `${Math.min(Math.max(plot.valToPos(at, "x") + 60 - 70, 0), Math.max(0, width - 180))}px`;
          tip.style.top = "4px";
        }] },
      }, [lines[0].values.map((_, n) => n), ...lines.map((one) => one.values)], place);
      drawn.root.setAttribute("aria-hidden", "true"); // its caption and the table of runs say the same
      place.append(tip);
    };
    charts.set(place, draw);
    draw();
    new ResizeObserver(() => {
      if (place.clientWidth && Math.abs(place.clientWidth - width) > 1) { width = place.clientWidth; drawn.setSize({ width, height }); }
    }).observe(place);
  }

  const days = (shown) => { // or times, where all is of one day
    const one = new Set(shown.map((run) => run.at.slice(0, 10))).size === 1;
    return shown.map((run) => (one ? run.at.slice(11) : run.at.slice(5, 10)));
  };

  function overTime() {
    const shown = runs.filter((run) => run.whole && (run.passed || 0) + (run.failed || 0));
    const place = $("rate"), took = $("took");
    if (!shown.length) { place.textContent = took.textContent = "No run has results yet."; return; }
    place.days = took.days = days(shown);
    const rates = shown.map((run) => (100 * (run.passed || 0)) / ((run.passed || 0) + (run.failed || 0)));
    const about = (n, text) => `${shown[n].at}\n${text}\n${shown[n].source} · ${shown[n].revision || ""}`;
    const last = rates[rates.length - 1], worst = Math.min(...rates);
    $("rate-said").textContent = shown.length > 1 ? `now ${percent(last)}, lowest of ${count(shown.length)} runs ${percent(worst)}` : percent(last);
    chart(place, [{ label: "pass rate", colour: "green", soft: "green-soft", values: rates }], {
      height: 180, low: (min) => Math.max(0, Math.min(99, min - (100 - min) * 0.3)), high: () => 100, show: (value) => `${Number(value.toFixed(2))} %`,
      say: (n) => about(n, `${percent(rates[n])}: ${count(shown[n].failed || 0)} of ${count((shown[n].passed || 0) + (shown[n].failed || 0))} failed`),
    });
    const spaces = [...new Set(shown.map((run) => run.space))];
    const colours = { local: "blue", agent: "violet", ci: "amber" };
    $("took-said").replaceChildren(...spaces.flatMap((space, n) => [n ? ", " : "", key(colours[space]), `${space} ${seconds(shown.findLast((run) => run.space === space).duration_s)}`]));
    chart(took, spaces.map((space) => ({ label: space, colour: colours[space] || "blue", values: shown.map((run) => (run.space === space ? run.duration_s || 0 : null)) })), {
      height: 180, show: clock, say: (n) => about(n, seconds(shown[n].duration_s)),
    });
  }
  const percent = (value) => `${value === 100 ? 100 : Math.min(99.99, value).toFixed(value > 99 ? 2 : 1)} %`;
  function key(name) {
    const mark = make("span", { class: "dot", "aria-hidden": "true" });
    mark.style.background = `var(--${name})`;
    return mark;
  }

  // --- tests -----------------------------------------------------------------------------------

  const bad = (test) => BAD.has(test.outcome) && !test.gone;
  const FILTERS = [
    ["failing", "Failing", bad],
    ["unsteady", "Unsteady", (test) => UNSTEADY.has(test.verdict)],
    ["slower", "Slower", (test) => test.now_s != null],
    ["skipped", "Skipped", (test) => test.outcome === "skipped" || test.outcome === "xfailed"],
    ["passing", "Passing", (test) => test.outcome === "passed" || test.outcome === "xpassed"],
    ["gone", "Gone", (test) => Boolean(test.gone)],
  ];
  const ORDERS = {
    time: (a, b) => (b.median_s || 0) - (a.median_s || 0),
    rate: (a, b) => rate(b) - rate(a),
    name: (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  };
  const rate = (test) => (test.attempts ? (test.failed || 0) / test.attempts : bad(test) ? 1 : 0);
  const byId = new Map(tests.map((test) => [test.id, test]));
  for (const test of tests) test.low_id = test.id.toLowerCase();
  const state = { filter: "", words: [], shown: PAGE, open: new Set() };
  let fitting = tests;

  function select() {
    const filter = FILTERS.find((one) => one[0] === state.filter);
    fitting = tests.filter((test) => (!filter || filter[2](test)) && state.words.every((word) => test.low_id.includes(word)));
    const order = ORDERS[$("sort").value];
    if (order) fitting = [...fitting].sort(order);
    list();
  }

  function list() {
    const shown = fitting.slice(0, state.shown);
    $("list").replaceChildren(...shown.map(item));
    $("none").hidden = Boolean(fitting.length);
    const left = fitting.length - shown.length;
    $("further").hidden = !left;
    $("further").textContent = `Show ${count(Math.min(PAGE, left))} more of ${count(left)}`;
    $("tests-count").textContent = fitting.length === tests.length ? count(tests.length + (data.tests_omitted || 0)) : `${count(fitting.length)} of ${count(tests.length)}`;
  }

  function item(test) {
    const at = test.id.indexOf("::");
    const file = at < 0 ? "" : test.id.slice(0, at + 2);
    const row = make("button", { type: "button", class: "row", "aria-expanded": "false", onclick: () => toggle(node, test) },
      make("span", { class: `dot ${bad(test) ? "failed" : test.outcome === "passed" ? "passed" : ""}`, "aria-hidden": "true" }),
      make("bdi", { class: "name" }, make("span", { class: "file" }, file), test.id.slice(file.length)),
      strip(test, 30),
      pill(test),
      make("span", { class: "time" }, test.median_s ? seconds(test.median_s) : ""));
    const node = make("li", {}, row);
    if (state.open.has(test)) toggle(node, test, true);
    return node;
  }

  function pill(test) {
    const name = test.verdict || (test.now_s != null ? "slower" : test.gone ? "gone" : test.outcome === "passed" ? "" : test.outcome || "");
    return name ? make("span", { class: `pill ${name}` }, words(name)) : make("span", { class: "hidden" }, words(test.outcome || "not run lately"));
  }

  function strip(test, most) {
    const letters = (test.outcomes || "").slice(-most);
    if (!letters) return make("span");
    const failed = [...letters].filter((letter) => MARKS[letter] && MARKS[letter][0] === "failed").length;
    const runsOf = (test.runs || []).slice(-most);
    return make("span", { class: "strip", role: "img", "aria-label": `Last ${letters.length} attempts: ${failed} failed` },
      ...[...letters].map((letter, n) => {
        const [kind, word] = MARKS[letter] || ["skipped", "no result"];
        const run = runs[runsOf[n]];
        return make("i", { class: kind, title: run ? `${run.at} ${word}, ${run.source}` : word });
      }));
  }

  function toggle(node, test, open = !node.querySelector(".story")) {
    const old = node.querySelector(".story");
    node.firstChild.setAttribute("aria-expanded", String(open));
    if (old) { for (const place of old.querySelectorAll(".chart")) charts.delete(place); old.remove(); }
    if (!open) { state.open.delete(test); return; }
    state.open.add(test);
    const place = make("div", { class: "chart" });
    node.append(story(test, place));
    if (place.parentNode) durations(test, place);
  }

  function story(test, place) {
    const points = (test.seconds || []).filter((value) => value != null).length;
    const facts = [
      ["Last outcome", words(test.outcome || "not run lately") + (test.reason ? `: ${test.reason}` : "")],
      test.attempts ? ["Failed on code that also passed", `${test.failed || 0}/${test.attempts} (${percent(100 * (test.low || 0))} – ${percent(100 * (test.high ?? 1))})`] : null,
      test.median_s ? ["Median", seconds(test.median_s)] : null,
      test.now_s != null ? ["Got slower", `${seconds(test.before_s)} → ${seconds(test.now_s)}`] : null,
      ...Object.entries(test.spaces || {}).map(([space, outcome]) => [`Last in ${space}`, words(outcome)]),
    ].filter(Boolean);
    const own = fixes.filter((fix) => fix.test === test.id);
    return make("section", { class: "story", "aria-label": `History of ${test.id}` },
      test.evidence ? make("p", { class: "evidence" }, make("bdi", {}, test.evidence)) : null,
      test.action ? make("p", { class: "action" }, make("bdi", {}, test.action)) : null,
      test.outcomes ? strip(test, 60) : null,
      make("dl", { class: "facts" }, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, make("bdi", {}, value))))),
      points > 2 ? place : null,
      ...causes(test),
      ...(test.notes || []).map((note) => make("p", { class: "note" }, make("bdi", {}, note))),
      ...said("What it told of itself in the newest run", test.told),
      ...said("What its phases cost", test.costs),
      own.length ? make("h4", {}, "What made it pass again") : null,
      ...own.map(fixed),
      make("p", { class: "muted" }, make("a", { href: `#test=${encodeURIComponent(test.id)}` }, "Link to this test"), " · ", make("code", {}, `pytest-recall history test '${test.id.replaceAll("'", "'\\''")}'`)));
  }

  function said(title, lines) {
    if (!lines || !lines.length) return [];
    return [make("h4", {}, title), make("ul", { class: "said" }, ...lines.map((line) => make("li", {}, make("bdi", {}, line))))];
  }

  function causes(test) {
    const found = Object.entries(test.causes || {});
    if (!found.length) return [];
    return [make("h4", {}, "How it failed"), make("ul", { class: "ids" }, ...found.map(([fingerprint, times]) => {
      const name = `cause-${fingerprint.replace(/[^A-Za-z0-9]/g, "")}`;
      const target = $(name), said = target && (target.closest(".cause") || target).querySelector(".error");
      const text = said ? `${said.textContent}` : fingerprint;
      return make("li", {}, target ? make("a", { href: `#${name}` }, make("bdi", {}, text)) : make("code", {}, text), ` ${times} ×`);
    }))];
  }

  function fixed(fix) {
    const lines = (fix.hunk || "").split("\n").slice(0, 200).map((line) => make("span", { class: { "+": "add", "-": "del", "@": "at" }[line[0]] || "" }, `${line}\n`));
    return make("div", { class: fix.weakened ? "fix weak" : "fix" },
      make("p", {}, make("b", {}, fix.at || ""), ` ${fix.revision || ""} `, make("span", { class: "muted" }, `${fix.state || ""}${fix.grade ? `, grade ${fix.grade}` : ""}`)),
      ...(fix.weakened || []).map((reason) => make("p", { class: "warn" }, reason)),
      ...(fix.intents || []).map((intent) => make("blockquote", {}, make("bdi", {}, intent))),
      fix.hunk ? make("pre", { class: "code diff", tabindex: "0", role: "region", "aria-label": "The change that mended it" }, make("code", {}, ...lines)) : null);
  }

  function durations(test, place) {
    const shown = timed.slice(-test.seconds.length).map((n) => runs[n]);
    place.days = days(shown);
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `Durations over ${shown.length} runs, median ${seconds(test.median_s)}`);
    chart(place, [{ label: "call", colour: "blue", soft: "blue-soft", values: test.seconds }], { height: 130, show: clock, say: (n) => `${shown[n].at}\n${seconds(test.seconds[n])}` });
  }

  function filters() {
    const buttons = [["", "All", () => true], ...FILTERS].map(([name, text, fits]) => {
      const number = tests.filter(fits).length;
      if (name && !number) return null;
      return make("button", { type: "button", "data-filter": name, "aria-pressed": String(name === state.filter), onclick: () => choose(name) }, text, make("small", {}, count(number)));
    });
    $("filters").replaceChildren(...buttons.filter(Boolean));
  }
  function choose(name) {
    state.filter = name;
    state.shown = PAGE;
    for (const button of $("filters").children) button.setAttribute("aria-pressed", String(button.dataset.filter === name));
    select();
  }

  // --- search ----------------------------------------------------------------------------------

  const findable = [...document.querySelectorAll("[data-found]")].map((node) => [node, node.textContent.toLowerCase()]);
  let typed = 0;
  function search(text) {
    state.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    state.shown = PAGE;
    let others = 0;
    for (const [node, content] of findable) {
      node.hidden = !state.words.every((word) => content.includes(word));
      if (!node.hidden) others += 1;
    }
    select();
    $("found").textContent = state.words.length ? `${count(fitting.length)} tests and ${count(others)} other entries fit` : "";
  }
  $("search").addEventListener("input", (event) => {
    clearTimeout(typed);
    typed = setTimeout(() => search(event.target.value), 60);
  });
  $("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") { search(event.target.value); $("tests").scrollIntoView(); }
  });
  document.addEventListener("keydown", (event) => {
    const busy = event.target.matches("input, select, textarea");
    if (event.key === "/" && !busy && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); $("search").focus(); }
    if (event.key === "Escape" && event.target === $("search")) { $("search").value = ""; search(""); }
  });
  $("clear").addEventListener("click", () => { $("search").value = ""; choose(""); search(""); });
  $("further").addEventListener("click", () => {
    const first = state.shown;
    state.shown += PAGE;
    list();
    $("list").children[first]?.firstChild.focus();
  });
  $("sort").addEventListener("change", select);

  // --- links -----------------------------------------------------------------------------------

  function follow() {
    const hash = location.hash;
    if (hash.startsWith("#test=")) {
      let id;
      try { id = decodeURIComponent(hash.slice(6)); } catch { return; }
      const test = byId.get(id);
      if (!test) { $("search").value = id; search(id); $("tests").scrollIntoView(); return; } // a test file, or a test that is not listed
      state.open.add(test);
      $("search").value = "";
      for (const [node] of findable) node.hidden = false;
      state.words = [];
      choose("");
      const place = fitting.indexOf(test);
      if (place >= state.shown) { state.shown = place + 1; list(); }
      const node = $("list").children[place];
      node.firstChild.focus({ preventScroll: true });
      node.scrollIntoView({ block: "start" });
    } else if (hash.length > 1) {
      const named = $(hash.slice(1)), target = named && (named.closest(".cause") || named);
      for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
      const own = target && target.querySelector(":scope > details");
      if (own) own.open = true;
      if (target) target.scrollIntoView({ block: "start" });
    }
  }
  addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => { // the same link twice changes no hash
    const link = event.target.closest && event.target.closest("a[href^='#']");
    if (link && link.getAttribute("href") === location.hash) follow();
  });

  // The error stands at a traceback's end.
  const ends = (within) => { for (const text of within.querySelectorAll("pre.traceback")) text.scrollTop = text.scrollHeight; };
  for (const each of document.querySelectorAll(".cause > details")) each.addEventListener("toggle", () => ends(each), { once: true });
  ends(document);

  theme(kept());
  filters();
  overTime();
  select();
  follow();
})();
