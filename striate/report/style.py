"""The style sheet of a report.

Two families of colour, blue for right and orange for wrong, told apart by every kind of colour vision.
Shades behind text stay pale in light mode and deep in dark mode, so that the text over them is read.
"""

LIGHT = """
  --paper: #ffffff; --ink: #16191d; --soft: #57606a; --line: #d5dadf; --wash: #f5f6f8;
  --blue: #0b62a8; --orange: #b4490a; --hit: 104 172 224; --miss: 240 138 62;
"""
DARK = """
  --paper: #14171a; --ink: #e8eaec; --soft: #a2abb4; --line: #363d44; --wash: #1d2125;
  --blue: #74b6ee; --orange: #f2a066; --hit: 24 98 158; --miss: 168 76 16;
"""

CSS = (
    f"""
:root {{ color-scheme: light dark; {LIGHT} }}
@media screen and (prefers-color-scheme: dark) {{ :root {{ {DARK} }} }}
"""
    + """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 68rem; padding: 3rem 1.5rem 5rem; counter-reset: figure table;
  background: var(--paper); color: var(--ink); overflow-wrap: break-word;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial,
    sans-serif;
  font-variant-numeric: lining-nums tabular-nums;
  print-color-adjust: exact; -webkit-print-color-adjust: exact;
}
h1, h2, .headline dd:not(.note) {
  font-family: Charter, "Bitstream Charter", "Iowan Old Style", "Source Serif 4", Georgia, "Liberation Serif",
    serif;
  font-weight: 600; letter-spacing: -0.01em; text-wrap: balance;
}
h1 { font-size: clamp(1.9rem, 5vw, 2.7rem); line-height: 1.15; margin: 0.2rem 0 0.6rem; }
h2 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 1rem; }
p { margin: 0 0 1rem; max-width: 44rem; text-wrap: pretty; }
a { color: var(--blue); text-underline-offset: 0.2em; text-decoration-thickness: 1px; }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible {
  outline: 2px solid var(--blue); outline-offset: 3px;
}
.kicker {
  color: var(--soft); font-size: 0.8rem; letter-spacing: 0.08em; text-transform: uppercase;
  margin: 0;
}
.lead { font-size: 1.1rem; color: var(--soft); }
.lead b { color: var(--ink); font-weight: 600; }
.note { color: var(--soft); font-size: 0.8rem; font-weight: 400; }

.headline {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0 1.5rem;
  margin: 2rem 0 0; border-top: 2px solid var(--ink);
}
.headline div { padding: 0.9rem 0 1rem; border-bottom: 1px solid var(--line); }
.headline dt { font-size: 0.85rem; color: var(--soft); }
.headline dd { margin: 0; }
.headline dd:not(.note) { font-size: 1.9rem; line-height: 1.25; white-space: nowrap; }

nav { display: flex; flex-wrap: wrap; gap: 0.3rem 1.4rem; padding: 0.9rem 0; font-size: 0.9rem; }
nav a { text-decoration: none; padding: 0.2rem 0; }
nav a:hover { text-decoration: underline; }
section { padding-top: 2.2rem; margin-top: 1.6rem; border-top: 1px solid var(--line); }
section:first-child { border: 0; margin: 0; padding-top: 1.6rem; }

table { border-collapse: collapse; width: 100%; margin: 0 0 1.5rem; font-size: 0.9rem; }
caption, figcaption, .caption {
  text-align: left; font-size: 0.85rem; line-height: 1.5; color: var(--soft); max-width: 44rem;
}
caption, .caption { padding-bottom: 0.6rem; margin: 0; }
caption, .caption, figcaption { text-wrap: pretty; }
figcaption { padding-top: 0.6rem; }
caption::before, figcaption::before, .caption::before { font-weight: 600; color: var(--ink); }
caption::before, .caption::before { counter-increment: table; content: "Table " counter(table) ". "; }
figcaption::before { counter-increment: figure; content: "Figure " counter(figure) ". "; }
.pair .caption { width: 0; min-width: max(100%, min(24rem, 85vw)); }  /* as wide as its matrix */
.uncounted caption { display: none; }
thead { border-bottom: 1px solid var(--ink); }
table:not(.confusion):not(.facts) { border-top: 1px solid var(--ink); border-bottom: 1px solid var(--ink); }
caption + thead { border-top: 1.5px solid var(--ink); }
th, td { padding: 0.32rem 0.6rem; text-align: right; vertical-align: baseline; font-weight: 400; }
thead th { font-weight: 600; }
th:first-child, td:first-child, td.word, .facts td, .pairs th:nth-child(2), .faults th,
.reasons th:nth-child(2) { text-align: left; }
th:first-child { padding-left: 0; }
td:last-child, thead th:last-child { padding-right: 0; }
tbody tr + tr { border-top: 1px solid var(--line); }
th[scope="row"], td.word, .facts td { overflow-wrap: anywhere; }
tbody th[scope="row"] { min-width: 5.5rem; }
.metrics { max-width: 34rem; }
.facts { max-width: 44rem; }
.facts th { width: 38%; color: var(--soft); }
.bars thead th:nth-child(n+2):nth-child(-n+4), .bars .bar { text-align: left; }
.bars .bar {
  width: 23%;
  background: linear-gradient(to right, rgb(var(--hit) / 0.9) calc(var(--w) * 100%), var(--wash) 0) no-repeat
    4.6rem 0.78rem / calc(100% - 5.4rem) 0.6rem;
}

.narrow .bar { width: 19%; }
.bars.two thead th:nth-child(4) { text-align: right; }
.reasons td.word { width: 55%; }
details .reasons { margin-left: 0; width: 100%; }

.scroll { overflow-x: auto; margin-bottom: 1.5rem; }
.confusion { width: auto; margin: 0; font-size: 0.8rem; border-collapse: separate; border-spacing: 1px; }
.confusion thead { border: 0; }
.confusion td {
  width: 2.7rem; min-width: 2.7rem; height: 2.2rem; padding: 0; text-align: center; vertical-align: middle;
}
.confusion .hit { background: rgb(var(--hit) / var(--a, 0)); font-weight: 600; }
.confusion .miss { background: rgb(var(--miss) / var(--a, 0)); }
.confusion .none { color: var(--soft); }
.confusion th { color: var(--ink); font-weight: 400; }
.confusion thead th { vertical-align: bottom; text-align: center; padding: 0 0 0.4rem; }
.confusion thead .cut { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 8rem; }
.confusion tbody th {
  padding: 0 0.6rem 0 0; text-align: right; vertical-align: middle;
  position: sticky; left: 0; background: var(--paper);  /* the class stays in view when scrolled */
}
.cut {
  display: inline-block; vertical-align: middle; max-width: 9rem;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
}
.confusion .corner {
  font-size: 0.72rem; color: var(--soft); white-space: nowrap;
  vertical-align: bottom; text-align: right; padding: 0 0.6rem 0.4rem 0;
}
.dense { font-size: 0.68rem; }
.dense td { width: 1.75rem; min-width: 1.75rem; height: 1.6rem; }
.dense .none { color: transparent; }

.pair { display: flex; flex-wrap: wrap; gap: 1rem 3rem; align-items: flex-start; }
.pair > * { flex: 1 1 20rem; min-width: 0; }
.pair > div:has(.confusion) { flex: 0 1 auto; }
.pair > div:empty { display: none; }
figure { margin: 0 0 1.5rem; }
.pair > figure, .pair figure { max-width: 30rem; }
.charts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18.5rem, 100%), 1fr));
  gap: 1.2rem 1.8rem;
}
svg { display: block; width: 100%; height: auto; overflow: visible; stroke-linejoin: round; }
svg text { font-family: inherit !important; }

.mistakes {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(8.6rem, 1fr)); gap: 1.4rem 1.2rem;
  list-style: none; padding: 0; margin: 1.5rem 0 0;
}
.mistakes img {
  display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--wash);
  margin-bottom: 0.5rem;
}
.drawn { grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); margin: 0.6rem 0 2rem; }
.drawn img { aspect-ratio: auto; }
.row { font-weight: 600; margin: 0; }
.tiny { image-rendering: pixelated; }
.mistakes p { margin: 0; font-size: 0.85rem; line-height: 1.4; overflow-wrap: anywhere; }
.mistakes .note { font-size: 0.72rem; }
.guess { color: var(--orange); }

pre {
  background: var(--wash); padding: 0.9rem 1.1rem; font-size: 0.85rem; margin: 0 0 1.2rem;
  white-space: pre-wrap; overflow-wrap: anywhere;
}
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }
details { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; padding: 0.55rem 0; font-weight: 600; }
summary .note { margin-left: 0.5rem; }
details table { margin: 0 0 1rem 1.1rem; width: calc(100% - 1.1rem); }

@media (max-width: 40rem) {
  body { padding: 1.8rem 1rem 3rem; }
  .headline { grid-template-columns: 1fr 1fr; }
  .headline dd:not(.note) { font-size: 1.6rem; }
  th, td { padding: 0.32rem 0.35rem; }
  .bars, .pairs { font-size: 0.8rem; }
  tbody th[scope="row"] { min-width: 4.5rem; }
  .bars th, .bars td { padding: 0.32rem 0.25rem; }
  .bars .bar { background-position: 0.35rem calc(100% - 1px); background-size: calc(100% - 0.7rem) 4px; }
  .bars .bar { width: auto; }
  .bars td, .bars th { padding-bottom: 0.55rem; }
  .mistakes { grid-template-columns: 1fr 1fr; }
  .drawn { grid-template-columns: 1fr; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  h2 { break-after: avoid; }
  tr, figure, .mistakes li, .headline { break-inside: avoid; }
  .scroll { overflow: visible; }
  .charts { grid-template-columns: repeat(3, 1fr); }
  details::details-content { content-visibility: visible; block-size: auto; }
}
@page { margin: 16mm; }
"""
)
