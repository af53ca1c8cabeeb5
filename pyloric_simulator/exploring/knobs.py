"""The sliders of the explorer: one component of plain HTML for all conductances, so that a page with dozens of them stays light.

Mechanics of `explorer`. The browser draws the knobs and tells what a hand does with them; what they are set to the server decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import param
from panel.custom import JSComponent

from ..prinz2004 import neuron_models

DECADES = 5  # of a slider's scale, below its largest value; its left end is 0
ROOM = 10.0  # the largest value over the largest usual one
USUAL = 30.0  # nS, of a synapse

SCRIPT = """
const STEPS = 500, DECADES = 5;
const at = (k, v) => v <= 0 ? 0 : Math.round(Math.max(1, Math.min(STEPS, 1 + (STEPS - 1) * (1 + Math.log10(v / k.max) / DECADES))));
const value = (k, x) => x <= 0 ? 0 : +(k.max * 10 ** (DECADES * ((x - 1) / (STEPS - 1) - 1))).toPrecision(4);
const short = (v) => +v.toPrecision(4);

export function render({ model, el }) {
  const page = document.createElement("div");
  page.className = "knobs";
  page.style.colorScheme = model.dark ? "dark" : "light";
  el.append(page);
  let rows = {}, timer = null;

  const tell = (msg) => model.send_msg(msg);
  const move = (k, v, done) => { show(k, v); tell({ kind: done ? "set" : "move", name: k.name, value: v }); };

  function show(k, v) {
    const r = rows[k.name];
    if (!r) return;
    r.range.value = at(k, v);
    r.range.setAttribute("aria-valuetext", short(v) + " " + k.unit);
    if (document.activeElement !== r.box && r.box !== el.getRootNode().activeElement) r.box.value = short(v);
    r.row.classList.toggle("changed", Math.abs(v - k.base) > 1e-12 * (1 + k.base));
  }

  function row(k) {
    const row = document.createElement("div");
    row.className = "knob";
    row.innerHTML = `<label></label><input type="range" min="0" max="${STEPS}" step="1"><input type="number" min="0" step="any">` +
      `<button type="button" class="reset">↺</button><input type="checkbox" class="lock">`;
    const [label, range, box, reset, lock] = row.children;
    label.textContent = k.label; label.title = k.name + " (" + k.unit + "); double click resets";
    range.setAttribute("aria-label", k.name); box.setAttribute("aria-label", k.name + " in " + k.unit);
    reset.title = "reset"; reset.setAttribute("aria-label", "reset " + k.name);
    lock.title = "lock"; lock.setAttribute("aria-label", "lock " + k.name);
    row.dataset.name = k.name;
    range.oninput = () => move(k, value(k, +range.value), false);
    range.onchange = () => move(k, value(k, +range.value), true);
    range.ondblclick = label.ondblclick = reset.onclick = () => { if (!lock.checked) move(k, k.base, true); };
    box.onchange = () => { const v = Number(box.value); if (box.value !== "" && v >= 0) move(k, v, true); };
    lock.onchange = () => {
      range.disabled = box.disabled = reset.disabled = lock.checked;
      tell({ kind: "lock", name: k.name, on: lock.checked });
    };
    lock.checked = range.disabled = box.disabled = reset.disabled = model.locked.includes(k.name);
    rows[k.name] = { row, range, box };
    return row;
  }

  function swap(group) {
    const pick = document.createElement("select");
    pick.setAttribute("aria-label", "cell of " + group.name);
    for (const name of ["swap cell …", ...group.cells]) pick.add(new Option(name, name));
    pick.onchange = () => { if (pick.selectedIndex) tell({ kind: "swap", group: group.name, cell: pick.value }); pick.selectedIndex = 0; };
    return pick;
  }

  function draw() {
    const open = new Set([...page.querySelectorAll("details[open]")].map((d) => d.dataset.group));
    page.replaceChildren();
    rows = {};
    for (const group of model.groups) {
      const fold = document.createElement("details"), head = document.createElement("summary");
      fold.dataset.group = group.name; fold.open = open.has(group.name);
      head.textContent = group.name;
      fold.append(head);
      if (group.cells.length) fold.append(swap(group));
      for (const k of group.knobs) fold.append(row(k));
      page.append(fold);
    }
    update();
  }

  function update() {
    for (const group of model.groups) for (const k of group.knobs) if (k.name in model.values) show(k, model.values[k.name]);
  }

  if (model.follows && !document.querySelector("meta[name=viewport]")) {  // else a tablet takes the page for a wide one, and shrinks it
    const meta = document.createElement("meta");
    meta.name = "viewport"; meta.content = "width=device-width, initial-scale=1";
    document.head.append(meta);
  }
  const here = new URL(window.location);
  if (model.follows && !here.searchParams.has("theme") && matchMedia("(prefers-color-scheme: dark)").matches) {
    here.searchParams.set("theme", "dark");
    window.location.replace(here);
  }
  model.on("groups", draw);
  model.on("values", update);
  draw();
}
"""

STYLE = """
.knobs { font: 13px sans-serif; color: inherit; }
details { border-bottom: 1px solid #8884; padding: 3px 0; }
summary { cursor: pointer; font-weight: 600; padding: 4px 2px; }
select { margin: 2px 0 4px 4px; max-width: 96%; }
.knob { display: grid; grid-template-columns: 74px 1fr 68px 22px 18px; gap: 4px; align-items: center; padding: 1px 2px; }
.knob label { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.knob input[type=range] { width: 100%; min-width: 0; height: 22px; }
.knob input[type=number] { width: 100%; box-sizing: border-box; font-size: 12px; }
.knob .reset { padding: 0; height: 20px; border: none; background: none; color: inherit; cursor: pointer; opacity: 0.35; }
.knob.changed .reset { opacity: 1; }
.knob.changed label { font-weight: 600; color: #c66a00; }
:focus-visible { outline: 2px solid #1f77c9; outline-offset: 1px; }
"""


class Knobs(JSComponent):
    """Sliders by cell. `told` is called with what the browser says: kind "move", "set", "lock" or "swap", and more."""

    groups = param.List(doc="Folded groups: name, cells to swap to, and knobs with name, label, unit, base and max.")
    values = param.Dict(default={}, doc="The value of each knob.")
    locked = param.List(doc="Names of knobs that are locked.")
    dark = param.Boolean(doc="Whether the page is dark.")
    follows = param.Boolean(doc="Whether the page becomes dark where the browser asks for it.")

    _esm = SCRIPT
    _stylesheets = [STYLE]  # noqa: RUF012 (Panel's)

    def __init__(self, told: Callable[[dict[str, Any]], None], **given: Any) -> None:
        super().__init__(**given)
        self.told = told

    def _handle_msg(self, message: Any) -> None:
        if isinstance(message, dict):
            self.told(message)


def groups_of(model: Any, values: dict[str, float], swaps: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The knobs of a model: one group for each population, and one for synapses and gap junctions.

    values: those of the circuit; swaps: population -> cells that it can become.
    """
    groups: list[dict[str, Any]] = [{"name": x, "cells": swaps.get(x, []), "knobs": []} for x in model.labels]
    joined: dict[str, Any] = {"name": "synapses", "cells": [], "knobs": []}
    channels = channels_by_label(model)
    for name, value in values.items():
        owner = next((g for g in groups if name in channels[g["name"]]), joined)
        label = name.removeprefix(f"{owner['name']} ") if owner is not joined else name
        unit = "mS/cm²" if owner is not joined else "nS"
        usual = float(neuron_models[label].max()) if label in neuron_models else (USUAL if owner is joined else 0.0)
        most = ROOM * (max(value, usual) or 1.0)
        owner["knobs"].append({"name": name, "label": label, "unit": unit, "base": value, "max": most})
    return [g for g in (*groups, joined) if g["knobs"]]


def channels_by_label(model: Any) -> dict[str, set[str]]:
    """The names of the conductances of each population's membrane."""
    circuit = model.circuit
    return {
        p.label: {f"{p.label} {c.name}" for c in circuit.membranes[p.membrane].channels} for p in circuit.populations
    }
