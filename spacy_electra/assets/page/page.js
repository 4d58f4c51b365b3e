// Tips show without this by CSS alone; here they stay on the screen, and Esc closes them.
for (const root of document.querySelectorAll(".electra:not([data-ready])")) {
  root.dataset.ready = "";
  const place = (event) => {
    const word = event.target.closest("[tabindex]");
    if (!word) return;
    if (event.type === "focusin" || !word.contains(event.relatedTarget))
      word.classList.remove("dismissed");
    const tip = word.querySelector(".tip");
    tip.style.setProperty("--shift", "0px");
    const over = tip.getBoundingClientRect().right + 8 - document.documentElement.clientWidth;
    if (over > 0) tip.style.setProperty("--shift", `${-over}px`);
  };
  root.addEventListener("mouseover", place);
  root.addEventListener("focusin", place);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const word of root.querySelectorAll("[tabindex]:hover, [tabindex]:focus"))
      word.classList.add("dismissed");
  });
}
