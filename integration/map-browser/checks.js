// Runs in the page, after its own script. What must be there is said by hand, from the cluster's description.
const results = document.createElement("pre");
results.id = "results";
const say = (text) => results.append(`${text}\n`);
document.addEventListener("DOMContentLoaded", () => {
  try {
    checkAll();
  } catch (error) {
    say(`wrong: the checks end: ${error}`);
  }
  document.body.append(results);
});

function checkAll() {
  const check = (what, found, expected) => {
    const [a, b] = [found, expected].map((it) => JSON.stringify(it));
    say(a === b ? `right: ${what}` : `wrong: ${what}: ${a}, not ${b}`);
  };
  const texts = (within, selector) => [...within.querySelectorAll(selector)].map((it) => it.textContent);
  const drawn = (kind) => document.querySelectorAll(`#edges path.${kind}`).length;
  const count = () => byId("count").textContent.split(" ")[0];
  const lit = () => document.querySelectorAll(".end:not(.dim)").length;
  const timed = (what, action) => {
    const began = performance.now();
    action();
    document.body.getBoundingClientRect();
    const spent_ms = performance.now() - began;
    say(`time: ${what}: ${spent_ms.toFixed(1)} ms`);
    if (spent_ms > 500) say(`wrong: ${what} takes longer than half a second`);
  };
  const type = (words) => { byId("search").value = words; byId("search").dispatchEvent(new Event("input")); };
  const choose = (namespace) => { byId("namespace").value = namespace; byId("namespace").dispatchEvent(new Event("change")); };
  // As a pointer would: what is clicked is what lies there.
  const click = (it) => {
    it.scrollIntoView({ block: "center", inline: "center" });
    const { left, top, width, height } = it.getBoundingClientRect();
    const there = document.elementFromPoint(left + width / 2, top + height / 2);
    if (!it.contains(there)) say(`wrong: ${it.textContent} lies under ${there?.outerHTML.slice(0, 80)}`);
    (there ?? it).dispatchEvent(new MouseEvent("click", { bubbles: true }));
  };
  const row = (name) => rows.get(state.ends.findIndex((it) => it.name === name));
  const section = (title) => {
    const heading = [...byId("panel").querySelectorAll("h3")].find((it) => it.textContent === title);
    const list = heading?.nextElementSibling;
    return list?.tagName === "UL" ? texts(list, "li") : [list?.textContent];
  };

  check("no error in the page's own script", errors, []);
  check("a row for each workload", texts(document, ".end").filter((it) => it.includes("w-")).length, 500);
  const column = [...rows].filter(([index]) => state.ends[index].namespace === "team-0").sort(([a], [b]) => places[a][1] - places[b][1]);
  check("workloads in the order of their names", column.slice(0, 3).map(([, row]) => row.textContent.match(/w-\d+/)[0]), ["w-0", "w-1", "w-10"]);
  check("all namespaces to choose from", byId("namespace").options.length, 11);
  check("nothing chosen", texts(byId("panel"), "h2"), ["Choose a workload"]);

  timed("search by a workload's name", () => type("w-49"));
  check("workloads by name", [count(), lit()], ["10", 10]);
  timed("search by a port", () => type("tcp/8007"));
  check("workloads by port: who may use it and who is reached at it", count(), "16");
  type("w-7-ingress");
  check("workloads by policy", count(), "8");
  type("nothing is called so");
  check("nothing found", [count(), lit()], ["0", 0]);
  type("w-49");
  timed("filter by namespace", () => choose("team-3"));
  check("workloads by name and namespace", count(), "1");
  type("");
  check("workloads by namespace", count(), "50");
  check("edges within the namespace", drawn("allowed"), 49);
  choose("");

  timed("choose a workload", () => click(row("team-0/deployment/w-1")));
  check("its name", texts(byId("panel"), "h2"), ["team-0/deployment/w-1"]);
  check("in the address, so that it can be sent to somebody", decodeURIComponent(location.hash), "#team-0/deployment/w-1");
  const isolating = section("Policies that isolate for ingress");
  check("who isolates it, and where that is written", [isolating.length, /^team-0\/w-1-ingress.*a<\/script><img src=x onerror=hurt\(\)>\.yaml:\d+$/.test(isolating[0])], [1, true]);
  check("who may reach it", section("May be reached by"), ["team-0/deployment/w-0 TCP/8001"]);
  check("nothing isolates it for egress", section("Policies that isolate for egress").length, 1);
  check("whom it may send to", section("May send to"), ["team-0/deployment/w-2 TCP/8002"]);
  check("what was seen, denied first", section("Seen in the flow log"), [
    "from team-0/deployment/w-3 TCP/8001: denied, 7 times",
    "from team-0/deployment/w-2 TCP/8001: audit would deny, 2 times",
    "from team-0/deployment/w-0 TCP/8001: allowed, 5 times",
  ]);
  check("what is drawn", ["allowed", "observed", "denied", "audit"].map(drawn), [2, 1, 1, 1]);
  click(byId("show-denied"));
  check("without what was denied", ["allowed", "observed", "denied", "audit"].map(drawn), [2, 1, 0, 0]);
  click(byId("show-allowed"));
  click(byId("show-observed"));
  check("without anything", document.querySelectorAll("#edges path").length, 0);
  for (const box of ["show-denied", "show-allowed", "show-observed"]) click(byId(box));
  click([...byId("panel").querySelectorAll("a")].find((it) => it.textContent.endsWith("w-2")));
  check("a link of the panel leads on", texts(byId("panel"), "h2"), ["team-0/deployment/w-2"]);
  byId("picture").dispatchEvent(new MouseEvent("click", { bubbles: true }));
  check("a click beside them chooses none", texts(byId("panel"), "h2"), ["Choose a workload"]);

  check("nothing is fetched", performance.getEntriesByType("resource").map((it) => it.name), []);
  check("names stay names", document.querySelectorAll("img").length, 0);
  check("no error at all", errors, []);
  say(`done: the page was ready after ${Math.round(performance.now())} ms`);
}
