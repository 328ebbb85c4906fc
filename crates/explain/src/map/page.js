// Fewer edges than this are drawn without a selection.
const EDGES_WITHOUT_SELECTION = 400;
// Of more peers than this the panel names the first.
const LISTED = 200;
const ROW = 20, WIDTH = 230;
const byId = (id) => document.getElementById(id);
const rows = new Map();
document.querySelectorAll(".end").forEach((row) => rows.set(Number(row.dataset.end), row));
const members = state.groups.map(() => []);
state.ends.forEach((end, index) => members[end.group].push(index));
const sends = new Map(), receives = new Map();
const add = (lists, key, value) => (lists.get(key) ?? lists.set(key, []).get(key)).push(value);
for (const edge of state.allowed) { add(sends, edge[0], edge); add(receives, edge[1], edge); }
let selected = null, shown = new Set();

const isItself = (from, to) => from === to && state.ends[from].pods < 2;
// What an end may send, or be sent: [other end, ports].
function peers(end, outgoing) {
  const edges = (outgoing ? sends : receives).get(state.ends[end].group) ?? [];
  return edges.flatMap(([from, to, ports]) => members[outgoing ? to : from]
    .filter((other) => !isItself(end, other)).map((other) => [other, state.ports[ports]]));
}

function matches(index, words, namespace) {
  const end = state.ends[index];
  if (namespace && end.namespace !== namespace) return false;
  if (!words) return true;
  const group = state.groups[end.group];
  const policies = [...(group.ingress ?? []), ...(group.egress ?? [])].map((it) => state.policies[it].name);
  if ([end.name, ...policies].some((text) => text.toLowerCase().includes(words))) return true;
  return [...peers(index, false), ...peers(index, true)].some(([, ports]) => ports.toLowerCase().includes(words));
}

function filter() {
  const words = byId("search").value.trim().toLowerCase(), namespace = byId("namespace").value;
  shown = new Set([...state.ends.keys()].filter((index) => matches(index, words, namespace)));
  rows.forEach((row, index) => row.classList.toggle("dim", !shown.has(index)));
  byId("count").textContent = `${shown.size} of ${state.ends.length} shown`;
  draw();
}

function draw() {
  const paths = [], wanted = (from, to) => selected === null
    ? shown.has(from) && shown.has(to) : from === selected || to === selected;
  const put = (from, to, kind) => {
    const [x, y] = [places[from][0] + WIDTH, places[from][1] + ROW / 2];
    const beside = places[from][0] === places[to][0];
    const [toX, toY] = [beside ? x : places[to][0], places[to][1] + ROW / 2];
    paths.push(`<path class="edge ${kind}" d="M${x} ${y}C${x + 60} ${y} ${beside ? x + 60 : toX - 60} ${toY} ${toX} ${toY}"/>`);
  };
  if (byId("show-allowed").checked) {
    if (selected !== null) {
      peers(selected, true).forEach(([other]) => put(selected, other, "allowed"));
      peers(selected, false).filter(([other]) => other !== selected).forEach(([other]) => put(other, selected, "allowed"));
    } else {
      const edges = [];
      for (const [from, to] of state.allowed) {
        for (const a of members[from]) for (const b of members[to]) {
          if (edges.length > EDGES_WITHOUT_SELECTION) break;
          if (wanted(a, b) && !isItself(a, b)) edges.push([a, b]);
        }
      }
      if (edges.length <= EDGES_WITHOUT_SELECTION) edges.forEach(([a, b]) => put(a, b, "allowed"));
    }
  }
  const kinds = { allowed: ["observed", "show-observed"], denied: ["denied", "show-denied"], audit: ["audit", "show-denied"] };
  for (const it of state.observed) {
    const [kind, box] = kinds[it.verdict];
    if (byId(box).checked && wanted(it.from, it.to)) put(it.from, it.to, kind);
  }
  byId("edges").innerHTML = paths.join("");
  rows.forEach((row, index) => row.classList.toggle("selected", index === selected));
}

function element(parent, tag, text, kind) {
  const made = parent.appendChild(document.createElement(tag));
  made.textContent = text ?? "";
  if (kind) made.className = kind;
  return made;
}

function link(parent, index) {
  const made = element(parent, "a", state.ends[index].name);
  made.onclick = () => select(index);
}

function list(panel, title, items, fill, empty) {
  element(panel, "h3", title);
  if (items.length === 0) { element(panel, "p", empty, "note"); return; }
  const made = element(panel, "ul");
  items.slice(0, LISTED).forEach((item) => fill(element(made, "li"), item));
  if (items.length > LISTED) element(panel, "p", `and ${items.length - LISTED} more`, "note");
}

function side(panel, end, outgoing) {
  const group = state.groups[state.ends[end].group], policies = outgoing ? group.egress : group.ingress;
  const word = outgoing ? "egress" : "ingress";
  if (state.ends[end].namespace !== null) {
    list(panel, `Policies that isolate for ${word}`, policies ?? [], (item, policy) => {
      item.textContent = state.policies[policy].name;
      if (state.policies[policy].at) element(item, "div", state.policies[policy].at, "note");
    }, `none: ${outgoing ? "may send to" : "may be reached by"} all that do not forbid it themselves`);
  }
  list(panel, outgoing ? "May send to" : "May be reached by", peers(end, outgoing), (item, [other, ports]) => {
    link(item, other);
    item.append(` ${ports}`);
  }, policies === null ? "nothing is limited here" : "nobody");
}

function panel() {
  const into = byId("panel");
  into.replaceChildren();
  if (selected === null) {
    element(into, "h2", "Choose a workload");
    const about = element(into, "p", "", "note");
    about.innerHTML = '<span class="key closed"></span> isolated, <span class="key open"></span> not: left for ingress, right for egress. '
      + "Where nothing isolates either end everything is allowed, and nothing is drawn.";
    if (state.allowed.length > EDGES_WITHOUT_SELECTION) element(into, "p", "There are too many edges to draw them all: choose, or search.", "note");
    element(into, "p", `${state.ends.filter((end) => end.namespace !== null).length} workloads, ${state.policies.length} policies`
      + (state.observed.length ? `, flows seen between ${state.observed.length} pairs and ports` : "")
      + (state.unplaced ? `; ${state.unplaced} flows are of nobody here` : ""), "note");
    return;
  }
  const end = state.ends[selected];
  element(into, "h2", end.name);
  if (end.namespace !== null) element(into, "p", `${end.pods} pod${end.pods === 1 ? "" : "s"}`, "note");
  side(into, selected, false);
  side(into, selected, true);
  const seen = state.observed.filter((it) => it.from === selected || it.to === selected);
  if (state.observed.length) {
    list(into, "Seen in the flow log", seen, (item, it) => {
      item.className = `seen-${it.verdict}`;
      const outgoing = it.from === selected;
      item.append(outgoing ? "to " : "from ");
      link(item, outgoing ? it.to : it.from);
      item.append(` ${it.port}: ${it.verdict === "audit" ? "audit would deny" : it.verdict}, ${it.count} times`);
    }, "nothing");
  }
}

function select(index) {
  selected = index;
  location.replace(index === null ? "#" : `#${encodeURIComponent(state.ends[index].name)}`);
  draw();
  panel();
  if (index !== null) rows.get(index).scrollIntoView({ block: "nearest", inline: "nearest" });
}

const namespaces = [...new Set(state.ends.map((end) => end.namespace).filter((it) => it !== null))].sort();
namespaces.forEach((it) => { element(byId("namespace"), "option", it).value = it; });
rows.forEach((row, index) => { row.onclick = (event) => { event.stopPropagation(); select(index); }; });
byId("picture").onclick = () => select(null);
byId("search").oninput = filter;
byId("namespace").onchange = filter;
for (const id of ["show-allowed", "show-observed", "show-denied"]) byId(id).onchange = draw;
filter();
const wanted = state.ends.findIndex((end) => end.name === decodeURIComponent(location.hash.slice(1)));
select(wanted < 0 ? null : wanted);
