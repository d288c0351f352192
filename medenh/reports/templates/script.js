"use strict";
document.documentElement.classList.add("js");

// a slider that shows one picture left and another right of a line
const setUp = (compare) => {
  const stage = compare.querySelector(".stage");
  const range = compare.querySelector("input");
  const show = () => {
    const words = stage.querySelector(".before figcaption").textContent;
    stage.style.setProperty("--split", range.value + "%");
    range.setAttribute("aria-valuetext", `${Math.round(range.value)} % ${words}`);
  };
  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    range.value = (100 * (event.clientX - box.left)) / box.width;
    show();
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    follow(event);
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) follow(event);
  });
  range.addEventListener("input", show);
  show();
  return show;
};
document.querySelectorAll(".compare").forEach(setUp);

// a slider over the pictures of a gallery, which stay the only copy in the page
document.querySelectorAll(".slider").forEach((place) => {
  const card = place.closest(".case");
  const shown = Array.from(card.querySelectorAll(".gallery figure"));
  if (shown.length < 2) return;
  place.append(document.getElementById("slider").content.cloneNode(true));
  const compare = place.querySelector(".compare");
  const name = card.querySelector("h4").textContent;
  compare.querySelector("input").setAttribute("aria-label", `How much of the left picture of ${name} is shown`);
  const titles = shown.map((figure) => figure.querySelector(".what").textContent);
  const sides = [
    { select: place.querySelectorAll("select")[0], figure: compare.querySelector(".before"), start: place.dataset.left },
    { select: place.querySelectorAll("select")[1], figure: compare.querySelector(".after"), start: place.dataset.right },
  ];
  let refresh = () => {};
  sides.forEach(({ select, figure, start }) => {
    titles.forEach((title, index) => select.add(new Option(title, index)));
    const choose = () => {
      const source = shown[select.value].querySelector("img");
      const image = figure.querySelector("img");
      image.width = source.getAttribute("width");
      image.height = source.getAttribute("height");
      image.src = source.src;
      image.alt = source.alt;
      figure.querySelector("figcaption").textContent = titles[select.value];
      refresh();
    };
    select.value = start;
    select.addEventListener("change", choose);
    choose();
  });
  refresh = setUp(compare);
});

// tables that sort by the column whose heading is pressed
const collator = new Intl.Collator(undefined, { numeric: true });
const sortKey = (cell) => {
  const text = cell.dataset.sort ?? cell.textContent.trim();
  return text === "–" ? "" : text;
};
const toNumber = (text) => Number(text.replace("\u2212", "-").replace("+", "").replace("∞", "Infinity"));
document.querySelectorAll("table.sortable").forEach((table) => {
  const heads = Array.from(table.tHead.rows[table.tHead.rows.length - 1].cells);
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const numeric = head.classList.contains("number");
      const current = head.getAttribute("aria-sort");
      const first = numeric ? "descending" : "ascending";
      const other = numeric ? "ascending" : "descending";
      const order = current === first ? other : first;
      const sign = order === "ascending" ? 1 : -1;
      const keyed = Array.from(body.rows, (row) => {
        const text = sortKey(row.cells[column]);
        return { row, missing: text === "", key: numeric ? toNumber(text) : text };
      });
      keyed.sort((one, two) => {
        if (one.missing || two.missing) return one.missing - two.missing;
        if (!numeric) return sign * collator.compare(one.key, two.key);
        return one.key === two.key ? 0 : sign * (one.key < two.key ? -1 : 1);
      });
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sorted = document.createDocumentFragment();
      keyed.forEach(({ row }) => sorted.appendChild(row));
      body.appendChild(sorted);
    });
  });
});

// the table of files: only names with some letters, only the columns of one measure
const files = document.querySelector("table.files");
if (files) {
  const rows = Array.from(files.tBodies[0].rows);
  const names = rows.map((row) => row.cells[0].textContent.toLowerCase());
  const filter = document.querySelector(".filter");
  const found = document.querySelector(".found");
  const narrow = () => {
    const wanted = filter.value.trim().toLowerCase();
    let count = 0;
    rows.forEach((row, index) => {
      row.hidden = !names[index].includes(wanted);
      count += !row.hidden;
    });
    found.textContent = wanted ? `${count} of ${rows.length} files` : "";
  };
  filter.addEventListener("input", narrow);
  const measures = document.querySelector(".measures");
  if (measures) {
    const [groups, heads] = files.tHead.rows;
    const widths = Array.from(groups.cells, (cell) => cell.colSpan);
    const choose = () => {
      const hidden = [false];
      widths.slice(1).forEach((width, index) => {
        const hide = measures.value !== "" && Number(measures.value) !== index;
        groups.cells[index + 1].hidden = hide;
        for (let i = 0; i < width; i += 1) hidden.push(hide);
      });
      [heads, ...rows].forEach((row) => {
        Array.from(row.cells, (cell, index) => { cell.hidden = hidden[index]; });
      });
    };
    measures.addEventListener("change", choose);
    if (heads.cells.length > 13) {
      measures.value = "0";
      choose();
    }
  }
  narrow();
}
