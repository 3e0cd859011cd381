//! What pages and pictures are made of: templates that escape, and SVG by hand.
//!
//! A page loads nothing from anywhere: it reads the same in a mail, from a disk, and in ten years.

pub mod drawing;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior};

/// An environment without templates: whatever is not there is an error, names that end in `.html` are escaped.
///
/// # Errors
/// If the engine refuses its own syntax.
pub fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_filter("minus", minus);
    Ok(environment)
}

/// Sets a true minus sign before numbers: a hyphen is hard to see in a proportional font.
#[must_use]
pub fn minus(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut before = ' ';
    while let Some(character) = rest.next() {
        let leads_number = rest.peek().is_some_and(|next| *next == '$' || next.is_ascii_digit());
        let shown = if character == '-' && leads_number && !before.is_alphanumeric() { '\u{2212}' } else { character };
        result.push(shown);
        before = character;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hyphen_becomes_a_minus_before_numbers_only() {
        assert_eq!(minus("-$3.10 (-0.51 %), 2026-11-16, self-made"), "−$3.10 (−0.51 %), 2026-11-16, self-made");
    }
}
