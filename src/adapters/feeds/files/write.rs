use std::io::{self, Write};

use daybook_core::market::{Bar, Symbol};

use super::COLUMNS;

/// Writes the header of a bar file.
///
/// # Errors
/// If `out` cannot be written.
pub fn write_header(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", COLUMNS.join(","))
}

/// Writes a symbol's bars, one line each. No field of theirs needs quotes.
///
/// # Errors
/// If `out` cannot be written.
pub fn write_bars(out: &mut impl Write, symbol: Symbol, bars: &[Bar]) -> io::Result<()> {
    for Bar { start, open, high, low, close, volume } in bars {
        writeln!(out, "{symbol},{start},{open},{high},{low},{close},{volume}")?;
    }
    Ok(())
}
