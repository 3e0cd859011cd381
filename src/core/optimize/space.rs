//! Every combination of some keys' values.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Combinations that one search may have: each is a whole back-test.
const TRIALS_MAX: usize = 1_000_000;

/// A key and the values that are tried for it: `range_minutes=5,10,15`.
///
/// ```
/// use daybook_core::optimize::Axis;
///
/// let axis: Axis = "range_minutes=5, 10,15".parse()?;
/// assert_eq!((axis.key(), axis.values()), ("range_minutes", &["5".to_owned(), "10".to_owned(), "15".to_owned()][..]));
/// # Ok::<(), daybook_core::optimize::SpaceError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    key: String,
    values: Vec<String>,
}

/// Values that cannot be searched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceError {
    /// Not a key and values.
    #[error("\"{0}\" is no grid: expected key=a,b,c such as range_minutes=5,10,15")]
    Form(String),
    /// A value twice.
    #[error("{key} has the value {value} twice")]
    Repeated { key: String, value: String },
    /// A key twice.
    #[error("{0} is searched twice: give all its values at once")]
    KeyTwice(String),
    /// More combinations than anybody waits for.
    #[error("the grid has more than {TRIALS_MAX} combinations: expected fewer values")]
    TooLarge,
}

impl Axis {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its values, in the order in which they were given.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }
}

impl FromStr for Axis {
    type Err = SpaceError;
    fn from_str(text: &str) -> Result<Self, SpaceError> {
        let form = || SpaceError::Form(text.to_owned());
        let (key, values) = text.split_once('=').ok_or_else(form)?;
        let axis = Self { key: key.trim().to_owned(), values: split(values) };
        if axis.key.is_empty() || axis.values.iter().any(String::is_empty) {
            return Err(form());
        }
        let mut seen = BTreeSet::new();
        match axis.values.iter().find(|value| !seen.insert(value.as_str())) {
            Some(value) => Err(SpaceError::Repeated { key: axis.key.clone(), value: value.clone() }),
            None => Ok(axis),
        }
    }
}

/// Splits at commas, but not at those within braces: a value may be `{percent: 2%, of: close}`.
fn split(text: &str) -> Vec<String> {
    let (mut depth, mut parts) = (0_i32, vec![String::new()]);
    for character in text.chars() {
        depth += match character {
            '{' | '[' => 1,
            '}' | ']' => -1,
            _ => 0,
        };
        match parts.last_mut() {
            Some(part) if character != ',' || depth > 0 => part.push(character),
            _ => parts.push(String::new()),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// Every combination of the values of some axes, each with a number from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    axes: Vec<Axis>,
    size: usize,
}

impl Space {
    /// Of these axes.
    ///
    /// # Errors
    /// [`SpaceError`] if a key is there twice, or there are too many combinations.
    pub fn new(axes: Vec<Axis>) -> Result<Self, SpaceError> {
        let mut keys = BTreeSet::new();
        if let Some(axis) = axes.iter().find(|axis| !keys.insert(axis.key.as_str())) {
            return Err(SpaceError::KeyTwice(axis.key.clone()));
        }
        let size = axes.iter().try_fold(1_usize, |size, axis| size.checked_mul(axis.values.len()));
        match size.filter(|size| *size <= TRIALS_MAX) {
            Some(size) => Ok(Self { axes, size }),
            None => Err(SpaceError::TooLarge),
        }
    }

    /// How many combinations there are.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The axes.
    #[must_use]
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// The values of a combination, one for each axis; the last axis changes fastest.
    #[must_use]
    pub fn combination(&self, number: usize) -> Vec<&str> {
        let mut rest = number;
        let mut values: Vec<&str> = Vec::with_capacity(self.axes.len());
        for axis in self.axes.iter().rev() {
            let place = rest % axis.values.len(); // an axis has at least one value
            rest /= axis.values.len();
            values.extend(axis.values.get(place).map(String::as_str));
        }
        values.reverse();
        values
    }

    /// The values of a combination with their keys: `range_minutes=5`.
    #[must_use]
    pub fn settings(&self, number: usize) -> Vec<String> {
        let values = self.axes.iter().zip(self.combination(number));
        values.map(|(axis, value)| format!("{}={value}", axis.key)).collect()
    }

    /// The numbers of all combinations, or of `wanted` of them drawn by `seed`, each at most once, in order.
    ///
    /// Source of the draw: Floyd's algorithm (Bentley and Floyd 1987) over SplitMix64.
    #[must_use]
    pub fn drawn(&self, wanted: usize, seed: u64) -> Vec<usize> {
        if wanted >= self.size {
            return (0..self.size).collect();
        }
        let mut state = seed;
        let mut drawn = BTreeSet::new();
        for last in self.size - wanted..self.size {
            let number = below(last + 1, &mut state);
            if !drawn.insert(number) {
                drawn.insert(last);
            }
        }
        drawn.into_iter().collect()
    }
}

/// A number below `limit`, by a generator of 64 bits. The bias is below `limit` in 2^64.
fn below(limit: usize, state: &mut u64) -> usize {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let product = u128::from(mixed ^ (mixed >> 31)) * (limit as u128);
    usize::try_from(product >> 64).unwrap_or(0) // below `limit`, which is one
}

/// A share of the trials: the `part`-th of `of`, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    part: usize,
    of: usize,
}

/// Text that is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no share: expected i/n with i from 1 to n, such as 1/8")]
pub struct ShardError(String);

impl Shard {
    /// All trials.
    pub const WHOLE: Self = Self { part: 1, of: 1 };

    /// Whether the trial of this number belongs to it. Neighbours go to different shares, so that all have as much to do.
    #[must_use]
    pub const fn has(self, number: usize) -> bool {
        number % self.of == self.part - 1
    }
}

impl FromStr for Shard {
    type Err = ShardError;
    fn from_str(text: &str) -> Result<Self, ShardError> {
        let error = || ShardError(text.to_owned());
        let (part, of) = text.split_once('/').ok_or_else(error)?;
        let (part, of) = (part.trim().parse().map_err(|_| error())?, of.trim().parse().map_err(|_| error())?);
        if part == 0 || part > of { Err(error()) } else { Ok(Self { part, of }) }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.part, self.of)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn space(axes: &[&str]) -> Space {
        Space::new(axes.iter().map(|axis| axis.parse().unwrap()).collect()).unwrap()
    }

    #[test]
    fn every_combination_has_its_number() {
        let space = space(&["a=1,2", "b=x,y,z"]);
        let all: Vec<String> = (0..space.size()).map(|number| space.combination(number).join("")).collect();
        assert_eq!(all, ["1x", "1y", "1z", "2x", "2y", "2z"]);
        assert_eq!(Space::new(Vec::new()).unwrap().size(), 1, "nothing to search is one trial");
    }

    #[test]
    fn a_combination_has_its_settings() {
        let space = space(&["a=1,2", "b=x,y,z"]);
        assert_eq!(space.settings(0), ["a=1", "b=x"]);
        assert_eq!(space.settings(4), ["a=2", "b=y"]);
    }

    #[test]
    fn what_is_no_grid_is_refused() {
        for text in ["a", "=1", "a=", "a=1,,2"] {
            assert_eq!(text.parse::<Axis>(), Err(SpaceError::Form(text.to_owned())));
        }
        assert!(matches!("a=1,2,1".parse::<Axis>(), Err(SpaceError::Repeated { .. })));
        let twice = vec!["a=1".parse().unwrap(), "a=2".parse().unwrap()];
        assert_eq!(Space::new(twice), Err(SpaceError::KeyTwice("a".to_owned())));
        let many = (0..1_100).map(|value| value.to_string()).collect::<Vec<_>>().join(",");
        let large = ["a", "b"].map(|key| format!("{key}={many}").parse().unwrap());
        assert_eq!(Space::new(large.to_vec()), Err(SpaceError::TooLarge));
    }

    #[test]
    fn a_value_may_have_commas_in_braces() {
        let axis: Axis = "stop={percent: 2%, from: entry},{atr: 2}".parse().unwrap();
        assert_eq!(axis.values(), ["{percent: 2%, from: entry}", "{atr: 2}"]);
    }

    proptest! {
        #[test]
        fn a_draw_is_of_so_many_different_trials_and_always_the_same(wanted in 0_usize..80, seed: u64) {
            let space = space(&["a=1,2,3,4,5,6,7", "b=1,2,3,4,5,6,7"]);
            let drawn = space.drawn(wanted, seed);
            prop_assert_eq!(drawn.len(), wanted.min(49));
            prop_assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]) && drawn.iter().all(|number| *number < 49));
            prop_assert_eq!(drawn, space.drawn(wanted, seed));
        }

        #[test]
        fn shares_are_all_of_it_and_do_not_overlap(of in 1_usize..9, number in 0_usize..1_000) {
            let shares = (1..=of).map(|part| format!("{part}/{of}").parse::<Shard>().unwrap());
            prop_assert_eq!(shares.filter(|share| share.has(number)).count(), 1);
        }
    }

    #[test]
    fn a_share_is_counted_from_one() {
        assert!("1/1".parse::<Shard>() == Ok(Shard::WHOLE) && "8/8".parse::<Shard>().is_ok());
        for text in ["0/8", "9/8", "1", "a/b", "1/0", ""] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
