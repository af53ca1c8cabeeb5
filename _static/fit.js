// In a narrow window figures, tables and equations take the width there is: nothing has to be scrolled sideways.
const BOXES = "div.pst-scrollable-table-container, div.math mjx-container, div.output.text_html:has(table)";
const MARGINS = 10; // pixels, around a figure

// Tables and equations become smaller.
function zoom(box) {
  box.style.zoom = 1;
  for (let share = box.clientWidth / box.scrollWidth; share < 1 && share > 0.2; share -= 0.02) {
    box.style.zoom = share;
    if (box.scrollWidth <= box.clientWidth) return;
  }
}

// Panels of a figure that stand side by side come one below the other, and are as wide as the page at most.
function stack(root, within) {
  const parts = [...root.references()];
  for (const grid of parts.filter((x) => x.type === "GridPlot")) {
    const columns = Math.max(1, Math.floor(within / Math.max(...grid.children.map(([panel]) => panel.outer_width ?? 0))));
    grid.children = grid.children.map(([panel], i) => [panel, Math.floor(i / columns), i % columns]);
  }
  for (const part of parts) {
    const beyond = (part.outer_width ?? 0) - within;
    if (part.frame_width && beyond > 0) part.frame_width -= beyond;
    for (const size of ["width", "min_width"]) if (part[size] > within) part[size] = within;
  }
}

function fit() {
  document.querySelectorAll(BOXES).forEach(zoom);
  for (const drawing of window.Bokeh ? Bokeh.documents : [])
    for (const root of drawing.roots()) {
      const box = document.querySelector(`[data-root-id="${root.id}"]`)?.closest("div.output");
      if (box?.clientWidth && box.scrollWidth > box.clientWidth) stack(root, box.clientWidth - MARGINS);
    }
}

const drawn = () => !window.Bokeh || Bokeh.documents.every((x) => x.is_idle);
let timer;

function soon() {
  clearTimeout(timer);
  timer = setTimeout(() => (drawn() ? fit() : soon()), 300);
}

window.addEventListener("load", () => (window.MathJax ? MathJax.startup.promise.then(soon) : soon()));
window.addEventListener("resize", soon);
document.addEventListener("click", soon); // it may have opened a folded part
