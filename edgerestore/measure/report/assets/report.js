"use strict";
// Without this script the pictures stand beside each other; with it they lie in one stage.
for (const compare of document.querySelectorAll(".compare")) {
  const stage = compare.querySelector(".stage");
  const layers = [...compare.querySelectorAll(".layer")];
  const controls = compare.querySelector(".controls");
  if (!controls) continue;
  const range = controls.querySelector("input");
  const picks = { left: controls.querySelector(".pick-left"), right: controls.querySelector(".pick-right") };
  const buttons = [...controls.querySelectorAll("button")];
  const view = { at: 50, zoom: 1, x: 0, y: 0 };

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  function draw() {
    const { width, height } = stage.getBoundingClientRect();
    view.x = clamp(view.x, width * (1 - view.zoom), 0);
    view.y = clamp(view.y, height * (1 - view.zoom), 0);
    stage.style.setProperty("--at", view.at + "%");
    stage.style.setProperty("--zoom", view.zoom);
    stage.style.setProperty("--x", view.x + "px");
    stage.style.setProperty("--y", view.y + "px");
    stage.classList.toggle("zoomed", view.zoom > 1);
    if (view.zoom > 1) stage.tabIndex = 0;
    else stage.removeAttribute("tabindex");
    range.value = view.at;
    const [left, right] = [layers[picks.left.value], layers[picks.right.value]];
    range.setAttribute(
      "aria-valuetext",
      Math.round(view.at) + " % " + left.querySelector("figcaption").textContent,
    );
    for (const layer of layers) {
      layer.classList.toggle("left", layer === left);
      layer.classList.toggle("right", layer === right && right !== left);
    }
  }

  function magnify(zoom) {
    const { width, height } = stage.getBoundingClientRect();
    const factor = zoom / view.zoom;
    // The middle of the stage stays where it is.
    view.x = width / 2 - (width / 2 - view.x) * factor;
    view.y = height / 2 - (height / 2 - view.y) * factor;
    view.zoom = zoom;
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.zoom) === zoom));
    }
    draw();
  }

  let grip = null;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    const { left, width } = stage.getBoundingClientRect();
    const nearDivider = Math.abs(event.clientX - left - (view.at / 100) * width) < 24;
    const pan = view.zoom > 1 && !nearDivider;
    grip = { pan, x: event.clientX - view.x, y: event.clientY - view.y };
    stage.setPointerCapture(event.pointerId);
    if (!pan) drag(event);
  });
  function drag(event) {
    if (!grip) return;
    const { left, width } = stage.getBoundingClientRect();
    if (grip.pan) {
      view.x = event.clientX - grip.x;
      view.y = event.clientY - grip.y;
    } else {
      view.at = clamp((100 * (event.clientX - left)) / width, 0, 100);
    }
    draw();
  }
  stage.addEventListener("pointermove", drag);
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, () => { grip = null; });
  }
  stage.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
    if (!step || view.zoom === 1) return;
    event.preventDefault();
    view.x += step[0];
    view.y += step[1];
    draw();
  });
  range.addEventListener("input", () => { view.at = Number(range.value); draw(); });
  for (const pick of Object.values(picks)) pick.addEventListener("change", draw);
  for (const button of buttons) {
    button.addEventListener("click", () => magnify(Number(button.dataset.zoom)));
  }
  addEventListener("resize", draw);

  stage.style.aspectRatio = compare.dataset.width + " / " + compare.dataset.height;
  stage.style.maxWidth = "min(100%, calc(80vh * " + compare.dataset.width / compare.dataset.height + "))";
  compare.classList.add("live");
  controls.hidden = false;
  draw();
}
