//! What plugins add to a request.

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::sample::Sample;

/// One gateway with so many plugins.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) contender: String,
    /// 0: the gateway that the others are compared with.
    pub(crate) plugins: usize,
    pub(crate) median: Sample,
    pub(crate) spread: f64,
    /// CPU per request on top of the same gateway without plugins: the median of the rounds' differences.
    pub(crate) added_us: f64,
    /// Half the range of those differences.
    pub(crate) added_spread_us: f64,
}

/// As a Markdown table. The last column is what is added for each microsecond that Envoy's as many filters add.
pub(super) fn table(costs: &[Cost]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    let added = "added by plugins, µs";
    table.set_header(["", "requests/s", "CPU µs/request", "spread", added, "per plugin, µs", "added, Envoy = 1"]);
    for cost in costs {
        table.add_row(cells(cost, costs));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn cells(cost: &Cost, all: &[Cost]) -> Vec<String> {
    let mut cells = vec![
        cost.contender.clone(),
        format!("{:.0}", cost.median.requests_per_s),
        format!("{:.1}", cost.median.cpu_us),
        format!("±{:.0} %", cost.spread * 100.0),
    ];
    if cost.plugins == 0 {
        cells.extend(["", "", ""].map(String::from));
        return cells;
    }
    let envoy = all.iter().find(|one| one.contender.starts_with("Envoy") && one.plugins == cost.plugins);
    cells.push(format!("{:.1} ±{:.1}", cost.added_us, cost.added_spread_us));
    cells.push(format!("{:.1}", cost.added_us / cost.plugins as f64));
    cells.push(envoy.map_or_else(String::new, |envoy| format!("{:.2}", cost.added_us / envoy.added_us)));
    cells
}
