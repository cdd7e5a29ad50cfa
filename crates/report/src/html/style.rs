//! How it looks: ink on paper, one colour, and nothing that needs a network.

/// The whole style sheet. The paper's size is the printer's; margins and page numbers are ours.
pub(super) const CSS: &str = "
:root { --ink: #16191d; --quiet: #5c6570; --line: #cfd5db; --hair: #e6e9ed; --wash: #f5f7f8; --accent: #0d5c63; --bad: #9a2c12; }
@page { margin: 19mm 17mm 20mm; @bottom-right { content: counter(page) ' / ' counter(pages); font: 8pt Charter, Cambria, Georgia, serif; color: #5c6570; } @bottom-left { content: 'Lockgate evidence report'; font: 8pt Charter, Cambria, Georgia, serif; color: #5c6570; } }
@page :first { @bottom-left { content: ''; } }
* { box-sizing: border-box; }
html { background: #fff; color: var(--ink); -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 3.2rem 1.6rem 5rem; max-width: 52rem; font: 400 1rem/1.5 Charter, 'Bitstream Charter', 'Source Serif 4', 'Noto Serif', Cambria, 'Liberation Serif', Georgia, serif; font-variant-numeric: lining-nums; hyphens: manual; }
h1, h2, h3 { font-weight: 600; line-height: 1.2; margin: 0; break-after: avoid; text-wrap: balance; }
h1 { font-size: 2.35rem; letter-spacing: -0.012em; }
h2 { font-size: 1.45rem; margin: 3.2rem 0 .55rem; padding-top: .9rem; border-top: 1.5px solid var(--ink); letter-spacing: -0.005em; }
h3 { font-size: 1.06rem; margin: 1.7rem 0 .35rem; }
p { margin: 0 0 .75rem; max-width: 42rem; orphans: 3; widows: 3; }
a { color: inherit; text-decoration: none; }
@media screen { a:hover, a:focus-visible { color: var(--accent); text-decoration: underline; } }
.kicker { margin: 0 0 .5rem; color: var(--accent); font-size: .84rem; letter-spacing: .09em; text-transform: uppercase; }
.lead { margin: .9rem 0 1.9rem; font-size: 1.1rem; color: #343b43; }
.quiet, .none { color: var(--quiet); }
.note { font-size: .88rem; line-height: 1.42; color: var(--quiet); }
code, .mono { font: .8em/1.4 'DejaVu Sans Mono', 'Liberation Mono', Menlo, Consolas, monospace; overflow-wrap: anywhere; }
dl.facts { display: grid; grid-template-columns: 8.2rem 1fr; gap: .28rem 1.2rem; margin: 0 0 1.6rem; font-size: .95rem; }
dl.facts dt { color: var(--quiet); }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
.seal { margin: 1.6rem 0; padding: .95rem 1.15rem 1rem; border: 1px solid var(--line); border-left: 4px solid var(--accent); background: var(--wash); break-inside: avoid; }
.seal p { margin: .2rem 0 0; max-width: none; }
.seal strong { font-weight: 600; }
.seal.broken { border-left-color: var(--bad); }
.seal.broken strong { color: var(--bad); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.6rem, 1fr)); gap: 0 1.4rem; margin: 1.9rem 0 .6rem; break-inside: avoid; }
.figures div { border-top: 1px solid var(--line); padding: .5rem 0 .8rem; }
.figures b { display: block; font-size: 1.8rem; font-weight: 500; line-height: 1.15; }
.figures span { color: var(--quiet); font-size: .86rem; line-height: 1.3; display: block; }
table { width: 100%; border-collapse: collapse; margin: .5rem 0 1.25rem; font-size: .875rem; line-height: 1.38; }
thead { display: table-header-group; }
tr { break-inside: avoid; }
th { text-align: left; font-weight: 400; color: var(--quiet); font-size: .8rem; border-bottom: 1px solid var(--ink); padding: .2rem .9rem .3rem 0; vertical-align: bottom; }
th, td { min-width: 5.2rem; }
th.n, td.n { min-width: 3.2rem; }
table.pair th:first-child { width: 60%; }
table.evidence { table-layout: fixed; }
table.evidence th { width: 17%; }
table.evidence th:nth-child(1) { width: 38%; }
table.evidence th:nth-child(2) { width: 8%; }
table.evidence th:nth-child(5) { width: 20%; }
.activity { break-inside: avoid; }
h2 + p, h3 + p { break-after: avoid; }
td { border-bottom: 1px solid var(--hair); padding: .36rem .9rem .38rem 0; vertical-align: top; overflow-wrap: anywhere; }
th:last-child, td:last-child { padding-right: 0; }
th.n, td.n { text-align: right; white-space: nowrap; font-variant-numeric: lining-nums tabular-nums; overflow-wrap: normal; }
td.t { white-space: nowrap; font-variant-numeric: lining-nums tabular-nums; overflow-wrap: normal; }
td.k { white-space: nowrap; overflow-wrap: normal; }
td .note { display: block; font-size: .8rem; }
td.refs { font-size: .8rem; font-variant-numeric: lining-nums tabular-nums; color: var(--quiet); }
.standing { white-space: nowrap; }
.standing.exceptions { color: var(--bad); }
.standing.none { color: var(--quiet); }
.control { margin: 2rem 0 0; padding-top: .85rem; border-top: 1px solid var(--line); }
.control header { display: flex; gap: 1rem; justify-content: space-between; align-items: baseline; break-after: avoid; break-inside: avoid; }
.control h3 { margin: 0 0 .3rem; }
.control header .standing { font-size: .86rem; }
.control h4, .label { margin: .8rem 0 .1rem; font-size: .8rem; font-weight: 400; color: var(--quiet); break-after: avoid; }
.control h4.bad { color: var(--bad); }
.control p { margin-bottom: .4rem; }
ul { margin: .15rem 0 .9rem; padding: 0; list-style: none; font-size: .92rem; }
li { position: relative; margin: .12rem 0; padding-left: 1.05rem; max-width: 44rem; break-inside: avoid; }
li::before { content: '–'; position: absolute; left: 0; color: var(--quiet); }
.id { font-weight: 400; color: var(--accent); padding-right: .55rem; white-space: nowrap; }
figure { margin: 1rem 0 1.4rem; break-inside: avoid; }
figcaption { font-size: .86rem; color: var(--quiet); margin-top: .4rem; max-width: 42rem; }
svg { display: block; width: 100%; height: auto; }
svg text { font: 11px Charter, 'Bitstream Charter', Cambria, 'Liberation Serif', Georgia, serif; fill: #5c6570; font-variant-numeric: tabular-nums; }
.cited td { font-size: .8rem; }
.cited .mono { font-size: .68rem; line-height: 1.3; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--line); }
@media print {
  html { font-size: 9.6pt; }
  body { max-width: none; padding: 0; }
  h2 { margin-top: 2.1rem; }
  h2.page { break-before: page; margin-top: 0; }
  .control { margin-top: 1.5rem; }
  .seal { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
@media (max-width: 40rem) { body { padding: 1.6rem 1rem 3rem; } dl.facts { grid-template-columns: 1fr; gap: 0; } dl.facts dd { margin-bottom: .5rem; } .control header { flex-direction: column; gap: 0; } }
";
