"""How a report looks: small screens, dark ones and paper included."""

CSS = """\
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1b1f; --muted: #5c5f66; --grid: #c4c7cc;
  --line: #d9dbdf; --tint: #f4f5f7; --accent: #005a9e;
  --alert: #fff4d6; --alert-line: #b36b00;
  --series0: #0072b2; --series1: #c75000; --series2: #00805d;
  --series3: #a8528a; --series4: #a86f00; --series5: #2a86bd;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #16181c; --ink: #e8e9ec; --muted: #a6abb5; --grid: #555a63;
    --line: #383c44; --tint: #1f2228; --accent: #7cc0ff;
    --alert: #3a2f12; --alert-line: #e0a030;
    --series0: #58aee6; --series1: #ff9152; --series2: #35cfa2;
    --series3: #e6a3c9; --series4: #f2b840; --series5: #9ad6f7;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1rem 1rem 4rem; max-width: 76rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans',
    'DejaVu Sans', sans-serif;
  overflow-wrap: anywhere;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 .5rem; }
h2 {
  font-size: 1.3rem; line-height: 1.25; margin: 2.5rem 0 .75rem;
  padding-top: .75rem; border-top: 1px solid var(--line);
}
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
p, ul { max-width: 46rem; }
ul { padding-left: 1.25rem; }
a { color: var(--accent); }
nav ul {
  display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: 0;
  list-style: none; max-width: none;
}
nav a { display: inline-block; padding: .3rem 0; }
.alert {
  background: var(--alert); border-left: .3rem solid var(--alert-line);
  padding: .6rem 1rem; margin: 1rem 0; max-width: none;
}
.alert p { margin: 0; font-weight: 600; }
.alert ul { margin: .25rem 0; max-width: none; }
.scroll { overflow-x: auto; margin: 1rem 0; }
.scroll:focus-visible, summary:focus-visible, a:focus-visible {
  outline: 2px solid var(--accent); outline-offset: 2px;
}
table {
  border-collapse: collapse; font-size: .9rem; line-height: 1.35;
  font-variant-numeric: tabular-nums; overflow-wrap: normal;
}
caption {
  text-align: left; color: var(--muted); padding-bottom: .35rem;
  font-size: .9rem; overflow-wrap: anywhere;
}
caption span {
  display: inline-block; position: sticky; left: 0;
  max-width: min(calc(100vw - 2rem), 46rem);
}
th, td {
  padding: .35rem .7rem; border-bottom: 1px solid var(--line);
  text-align: right; vertical-align: top;
}
thead th { border-bottom: 2px solid var(--grid); vertical-align: bottom; }
thead th.number { min-width: 4.5rem; }
th.name, td.name { text-align: left; }
tbody th { font-weight: 600; }
td.number { white-space: nowrap; }
code {
  font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .95em;
  overflow-wrap: break-word;
}
tbody .name { max-width: 19rem; }
tbody td.name { min-width: 6rem; }
.pictures {
  display: grid; gap: 1.25rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
}
figure { margin: 0; }
figcaption { font-size: .9rem; color: var(--muted); margin-bottom: .25rem; }
figure svg { display: block; width: 100%; height: auto; }
figure svg, figure svg text { fill: var(--ink); }
figure svg text { font-family: inherit !important; }
.wide { display: block; }
.wide figure { margin-bottom: 1.5rem; }
.wide .scroll { margin: 0; }
details { margin: 1rem 0; border: 1px solid var(--line); border-radius: .3rem; }
summary { cursor: pointer; padding: .6rem .8rem; background: var(--tint); }
details > :not(summary) { margin-left: .8rem; margin-right: .8rem; }
@media screen and (min-width: 60rem) {
  tbody th.setting, tbody td.setting:not(:last-child) { min-width: 10.5rem; }
}
@media (max-width: 40rem) {
  h1 { font-size: 1.45rem; }
  table { font-size: .85rem; }
  th, td { padding: .35rem .5rem; }
  tbody th.name:first-child, thead th.name:first-child {
    position: sticky; left: 0; background: var(--paper);
    min-width: 6.5rem; max-width: 10rem;
  }
  thead th.number { min-width: 5.5rem; }
}
@media print {
  @page { margin: 16mm 14mm; }
  body { padding: 0; max-width: none; font-size: 10pt; }
  nav { display: none; }
  h2 { break-after: avoid; margin-top: 1.5rem; }
  h3, caption, figcaption { break-after: avoid; }
  figure, tr, .alert { break-inside: avoid; }
  thead { display: table-header-group; }
  table { font-size: 8.5pt; }
  th, td { padding: .2rem .4rem; }
  td.number { white-space: normal; }
  thead th.number { min-width: 0; }
  caption span { max-width: none; }
  .scroll { overflow: visible; break-inside: avoid; }
  .pictures { grid-template-columns: 1fr 1fr; }
  .wide { display: block; }
  .wide svg { min-width: 0 !important; }
  .alert { border: 1px solid var(--alert-line); }
  details { border: 0; }
  details:not([open]) { display: none; }
}
"""
