"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 640px)");
  const touch = matchMedia("(pointer: coarse)");

  // -- figures: one description, drawn in the colours of the page --------------------------
  const source = document.getElementById("figures");
  const figures = source ? JSON.parse(source.textContent) : {};
  const places = [...document.querySelectorAll(".plot")].filter((p) => p.dataset.figure in figures);

  function template(isDark) {
    const [card, text, line, box] = isDark
      ? ["#171b22", "#e4e8ee", "#2d3540", "#232a34"]
      : ["#ffffff", "#1b1f24", "#e1e5ea", "#ffffff"];
    const axis = {
      gridcolor: line, linecolor: line, zeroline: false, automargin: true, tickcolor: line,
      title: { standoff: 10, font: { size: narrow.matches ? 12 : 14 } },
    };
    return {
      layout: {
        paper_bgcolor: card, plot_bgcolor: card,
        font: { color: text, family: "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", size: narrow.matches ? 11 : 13 },
        xaxis: axis, yaxis: axis, colorway: ["#1f6feb"],
        hoverlabel: { bgcolor: box, bordercolor: line, align: "left", font: { color: text } },
        legend: { bgcolor: "rgba(0,0,0,0)" },
      },
    };
  }

  function layoutOf(figure, isDark) {
    const layout = { ...figure.layout, template: template(isDark) };
    layout.margin = narrow.matches
      ? { l: 8, r: 8, t: 12, b: 8, ...(figure.layout.margin || {}) }
      : { l: 60, r: 20, t: 16, b: 50, ...(figure.layout.margin || {}) };
    if (touch.matches) layout.dragmode = false; // a finger scrolls the page
    return layout;
  }

  function draw(isDark) {
    for (const place of places) {
      const figure = figures[place.dataset.figure];
      Plotly.react(place, figure.data, layoutOf(figure, isDark), {
        responsive: true, displaylogo: false,
        showSendToCloud: false, // nothing on a page may carry it elsewhere
        displayModeBar: touch.matches ? false : "hover",
        modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
      });
    }
  }
  draw(dark.matches);
  dark.addEventListener("change", () => draw(dark.matches));
  narrow.addEventListener("change", () => draw(dark.matches));
  addEventListener("beforeprint", () => {
    draw(false);
    for (const place of places) Plotly.relayout(place, { width: 680 });
  });
  addEventListener("afterprint", () => {
    for (const place of places) Plotly.relayout(place, { width: null, autosize: true });
    draw(dark.matches);
  });

  // -- figures that show the study's own points at first: a button shows all -----------------
  for (const button of document.querySelectorAll("button[data-whole]")) {
    const place = places.find((p) => p.dataset.figure === button.dataset.whole);
    const own = {};
    for (const axis of ["xaxis", "yaxis"])
      own[`${axis}.range`] = [...figures[button.dataset.whole].layout[axis].range];
    let all = false;
    button.addEventListener("click", () => {
      all = !all;
      button.textContent = all ? "Show less" : "Show all";
      Plotly.relayout(place, all ? { "xaxis.autorange": true, "yaxis.autorange": true } : own);
    });
  }

  // -- contents: in a frame of another page an address may not lead here -------------------
  for (const link of document.querySelectorAll("nav a"))
    link.addEventListener("click", (event) => {
      event.preventDefault();
      document.querySelector(link.getAttribute("href")).scrollIntoView();
    });

  // -- tables: a click on a heading sorts ---------------------------------------------------
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.addEventListener("click", () => {
        const down = head.classList.contains("number")
          ? head.getAttribute("aria-sort") !== "descending"
          : head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => {
          const cell = row.cells[column];
          return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
        };
        const sign = down ? -1 : 1;
        const order = (a, b) =>
          typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
        [...table.tBodies[0].rows]
          .sort((a, b) => sign * order(value(a), value(b)))
          .forEach((row) => table.tBodies[0].append(row));
      });
    });
  }

  // -- pictures: hold one to see another in its place ---------------------------------------
  for (const image of document.querySelectorAll("img[data-other]")) {
    const own = image.src;
    const other = document.getElementById(image.dataset.other).src;
    const show = (held) => {
      image.src = held ? other : own;
      image.classList.toggle("other", held);
    };
    image.addEventListener("pointerdown", () => show(true));
    for (const end of ["pointerup", "pointerleave", "pointercancel", "blur"])
      image.addEventListener(end, () => show(false));
    image.addEventListener("keydown", (event) => {
      if (event.key === " " || event.key === "Enter") { event.preventDefault(); show(true); }
    });
    image.addEventListener("keyup", () => show(false));
    image.addEventListener("contextmenu", (event) => event.preventDefault());
  }
})();
