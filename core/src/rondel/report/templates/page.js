(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector) => Array.from(document.querySelectorAll(selector));

  // Theme: system, light, dark; remembered where the browser allows it.
  const themes = ["system", "light", "dark"];
  const toggle = document.querySelector("[data-theme-toggle]");
  const remember = (theme) => { try { localStorage.setItem("rondel-theme", theme); } catch { /* private mode */ } };
  const recall = () => { try { return localStorage.getItem("rondel-theme"); } catch { return null; } };
  const apply = (theme) => {
    if (theme === "system") delete root.dataset.theme; else root.dataset.theme = theme;
    toggle.querySelector("[data-theme-label]").textContent = "Theme: " + theme;
  };
  let theme = themes.includes(recall()) ? recall() : "system";
  apply(theme);
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    apply(theme);
    remember(theme);
  });

  // Pictures: click to enlarge, arrow keys to walk through them, Escape to close.
  const viewer = document.querySelector(".viewer");
  const buttons = all("[data-enlarge]");
  let shown = 0;
  const show = (index) => {
    shown = (index + buttons.length) % buttons.length;
    const image = buttons[shown].querySelector("img");
    const large = viewer.querySelector("img");
    large.src = image.src;
    large.alt = image.alt;
    large.className = image.className;
    viewer.querySelector("p").textContent = image.alt;
  };
  buttons.forEach((button, index) => button.addEventListener("click", () => { show(index); viewer.showModal(); }));
  viewer.querySelector("[data-previous]").addEventListener("click", () => show(shown - 1));
  viewer.querySelector("[data-next]").addEventListener("click", () => show(shown + 1));
  viewer.querySelector("[data-close]").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(shown - 1);
    if (event.key === "ArrowRight") show(shown + 1);
  });

  // Commands: copy.
  if (navigator.clipboard) {
    all("[data-copy]").forEach((button) => {
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(button.previousElementSibling.textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
    });
  }

  // Print: paper cannot be unfolded.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    folded.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((part) => { part.open = false; }));
})();
