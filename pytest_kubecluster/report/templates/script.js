// The page works without this: it only opens what a link leads to, and everything for printing.
(() => {
  const open = () => {
    const found = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (found instanceof HTMLDetailsElement) {
      found.open = true;
      found.querySelector("summary").focus({ preventScroll: true });
      found.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not(.map details, [open])")];
    opened.forEach((one) => { one.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((one) => { one.open = false; }));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link && link.getAttribute("href") === location.hash) open();
  });
  open();
})();
