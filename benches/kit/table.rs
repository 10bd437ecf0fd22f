//! Tables in plain text.

/// Rows under a heading; columns as wide as their widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub(crate) fn new(columns: &[&str]) -> Self {
        Self {
            rows: vec![columns.iter().map(ToString::to_string).collect()],
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Prints it: the first column to the left, figures to the right.
    pub(crate) fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate();
            let line: Vec<String> = cells
                .map(|(at, (cell, &wide))| match at {
                    0 => format!("{cell:<wide$}"),
                    _ => format!("{cell:>wide$}"),
                })
                .collect();
            println!("  {}", line.join("  ").trim_end());
        }
    }
}

/// Says whether a figure that should be at least `bar` reaches it.
pub(crate) fn at_least(figure: f64, bar: f64) -> String {
    verdict(figure >= bar, &format!(">= {bar}"))
}

/// Says whether a figure that should be at most `bar` keeps to it.
pub(crate) fn at_most(figure: f64, bar: f64, unit: &str) -> String {
    verdict(figure <= bar, &format!("<= {bar} {unit}"))
}

fn verdict(met: bool, bar: &str) -> String {
    format!("{bar}: {}", if met { "met" } else { "MISSED" })
}
