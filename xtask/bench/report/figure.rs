//! Single figures, each with what is wanted of it.

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

/// One figure. The plugin host's example program prints them as JSON, one on a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figure {
    pub(crate) what: String,
    /// The median, where it is of many.
    pub(crate) value: f64,
    #[serde(default)]
    pub(crate) p99: Option<f64>,
    #[serde(default)]
    pub(crate) unit: String,
    #[serde(default)]
    pub(crate) wanted: Option<String>,
}

impl Figure {
    pub(crate) fn wanted(self, wanted: &str) -> Self {
        Self { wanted: Some(wanted.to_owned()), ..self }
    }
}

/// As a Markdown table.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN);
    table.set_header(["", "median", "p99", "", "wanted: at most"]);
    for Figure { what, value, p99, unit, wanted } in figures {
        let p99 = p99.map_or_else(String::new, digits);
        table.add_row([what.clone(), digits(*value), p99, unit.clone(), wanted.clone().unwrap_or_default()]);
    }
    for column in table.column_iter_mut().skip(1).take(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// Two digits behind the point where they say something.
fn digits(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}
