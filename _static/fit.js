// In a narrow window figures, tables and equations shrink until they fit: nothing has to be scrolled sideways.
const WIDE = "div.output.text_html, div.pst-scrollable-table-container, div.math mjx-container";

function fit(box) {
  if (box.querySelector("[data-root-id]")) shrink(box);
  else zoom(box);
}

function zoom(box) {
  box.style.zoom = 1;
  for (let share = box.clientWidth / box.scrollWidth; share < 1 && share > 0.2; share -= 0.02) {
    box.style.zoom = share;
    if (box.scrollWidth <= box.clientWidth) return;
  }
}

function shrink(box) {
  box.removeAttribute("style");
  const [within, width, height] = [box.clientWidth, box.scrollWidth, box.scrollHeight];
  if (within === 0 || width <= within) return;
  const [below, beside] = [(within / width - 1) * height, within - width];
  Object.assign(box.style, { width: `${width}px`, maxWidth: "none", overflow: "hidden", marginRight: `${beside}px` });
  // Figures draw themselves anew when their place gets another width, and measure themselves while they do.
  setTimeout(() => {
    Object.assign(box.style, { transformOrigin: "0 0", transform: `scale(${within / width})`, marginBottom: `${below}px` });
  }, 300);
}

const drawn = () => !window.Bokeh || Bokeh.documents.every((x) => x.is_idle);
let timer;

function soon() {
  clearTimeout(timer);
  timer = setTimeout(() => (drawn() ? document.querySelectorAll(WIDE).forEach(fit) : soon()), 500);
}

window.addEventListener("load", () => (window.MathJax ? MathJax.startup.promise.then(soon) : soon()));
window.addEventListener("resize", soon);
document.addEventListener("click", soon); // it may have opened a folded part
