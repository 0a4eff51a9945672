use std::io::{self, Write};

/// The widest a column gets; a longer text is cut.
const MAX_WIDTH: usize = 60;

/// Writes rows under headings, in columns.
pub(crate) fn write<const N: usize>(
    out: &mut impl Write,
    headings: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    let mut widths = headings.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count()).min(MAX_WIDTH);
        }
    }
    let line = |cells: [&str; N]| {
        let cells = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{:width$}", cut(cell, width)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    writeln!(out, "{}", line(headings))?;
    for row in rows {
        writeln!(out, "{}", line(row.each_ref().map(String::as_str)))?;
    }
    Ok(())
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them_and_long_texts_are_cut() {
        let mut out = Vec::new();
        write(
            &mut out,
            ["ID", "MESSAGE"],
            &[["3-17".into(), "x".repeat(80)], ["0-1".into(), "short".into()]],
        )
        .unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ID    MESSAGE");
        assert!(lines[1].starts_with("3-17  xxx") && lines[1].ends_with("x…"));
        assert_eq!(lines[2], "0-1   short");
    }
}
