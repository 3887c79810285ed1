// Figures take the page's colours, and follow when these change between light and dark.
const dark = matchMedia("(prefers-color-scheme: dark)");

function paint() {
  const style = getComputedStyle(document.documentElement);
  const text = style.getPropertyValue("--text"), line = style.getPropertyValue("--line");
  for (const figure of document.querySelectorAll(".js-plotly-plot")) {
    const change = { "font.color": text, "legend.bgcolor": "rgba(0,0,0,0)" };
    for (const name of Object.keys(figure._fullLayout)) {
      if (/^[xy]axis\d*$/.test(name)) {
        change[name + ".gridcolor"] = line;
        change[name + ".zerolinecolor"] = line;
      }
    }
    Plotly.relayout(figure, change);
  }
}
dark.addEventListener("change", paint);
paint();

// Tables sort by their full values; missing values stay at the end.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.value;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return rising ? order : -order;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  }));
}
