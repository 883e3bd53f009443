// The look of the report page.
#pragma once

namespace mneme {

constexpr const char* kReportStyle = R"(
:root{color-scheme:light dark;--ink:#222;--paper:#fffdf9;--soft:#666;--rule:#ddd;--bar:#0068a81f;--bad:#b03a00}
@media(prefers-color-scheme:dark){:root{--ink:#ddd;--paper:#191919;--soft:#a5a5a5;--rule:#3a3a3a;--bar:#58b0ea33;--bad:#ff9b63}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:2rem 1.2rem 4rem}
h1{font-size:1.7rem;font-weight:600;margin:0 0 .3rem}
h2{font-size:1.25rem;font-weight:600;margin:2.6rem 0 .6rem;padding-top:.8rem;border-top:1px solid var(--rule)}
h3{font-size:1rem;font-weight:600;margin:1.6rem 0 .3rem}
p{max-width:46rem}.lead,.caption{color:var(--soft)}.caption{font-size:.86rem;margin:.4rem 0 1rem}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.92rem}
th,td{padding:.28rem .8rem;text-align:right;white-space:nowrap;vertical-align:baseline}
thead th{font-weight:400;color:var(--soft);border-bottom:1px solid var(--ink)}
tbody tr+tr>*{border-top:1px solid var(--rule)}
th.key,th[scope=row]{text-align:left;padding-left:0}th[scope=row]{font-weight:600}
td.share{background:linear-gradient(90deg,var(--bar) var(--s),transparent var(--s))}
.interval{color:var(--soft)}.absent{display:block;color:var(--bad);font-size:.8rem}
.warning{border-left:3px solid var(--bad);padding-left:1rem}.warning p,.warning ul{margin:.2rem 0}
.figures{display:flex;flex-wrap:wrap;gap:1rem 2rem;margin:1rem 0}figure{margin:0;max-width:100%}figure svg{max-width:100%;height:auto}
details{margin:.2rem 0}summary{cursor:pointer}pre{overflow-x:auto;font-size:.82rem;line-height:1.35}code{font-size:.9em}
)";

}  // namespace mneme
