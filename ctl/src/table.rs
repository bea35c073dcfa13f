//! Tables of text: the first columns stand left, numbers stand right.

/// How a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

const INDENT: &str = "  ";
const GAP: usize = 3;

/// Lays rows out under each other. Every row has as many cells as there are columns.
pub fn lay_out(columns: &[Align], rows: &[Vec<String>]) -> Vec<String> {
    let widths: Vec<usize> = (0..columns.len())
        .map(|i| {
            rows.iter()
                .filter_map(|row| row.get(i))
                .map(|c| width(c))
                .max()
                .unwrap_or(0)
        })
        .collect();
    rows.iter().map(|row| line(columns, &widths, row)).collect()
}

fn line(columns: &[Align], widths: &[usize], row: &[String]) -> String {
    let mut out = String::from(INDENT);
    for (i, ((align, wide), cell)) in columns.iter().zip(widths).zip(row).enumerate() {
        let pad = " ".repeat(wide - width(cell));
        if i > 0 {
            out.push_str(&" ".repeat(GAP));
        }
        match align {
            Align::Left => out.extend([cell.as_str(), &pad]),
            Align::Right => out.extend([pad.as_str(), cell]),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn width(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows =
            [["Photos", "812"], ["Documents", "1,204"]].map(|row| row.map(str::to_owned).to_vec());
        let lines = lay_out(&[Align::Left, Align::Right], &rows);
        assert_eq!(lines, ["  Photos        812", "  Documents   1,204"]);
    }
}
