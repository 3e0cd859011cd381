use crate::money::Bps;
use crate::time::{Span, Timestamp};

/// Words of headlines that go before a rise (above zero) or a fall, with how much they say: 3 is news that moves a
/// price by itself. In the order of the alphabet. A word stands for those that begin with it where it ends in `*`.
///
/// The words are those that company news is written in; that general lists of good and bad words mislead there is
/// Loughran and McDonald's finding (*When Is a Liability Not a Liability?*, Journal of Finance 66, 2011).
const LEXICON: [(&str, i64); 76] = [
    ("acquire*", 1),
    ("acquisition", 1),
    ("approv*", 3),
    ("award*", 1),
    ("bankrupt*", -3),
    ("beat*", 2),
    ("breach*", -2),
    ("breakthrough", 2),
    ("buyback*", 2),
    ("buyout", 3),
    ("cancel*", -2),
    ("contract", 1),
    ("crash*", -3),
    ("cut*", -2),
    ("decline*", -1),
    ("default*", -3),
    ("delay*", -2),
    ("delist*", -3),
    ("dilut*", -2),
    ("disappoint*", -2),
    ("dividend", 1),
    ("downgrad*", -2),
    ("drop*", -1),
    ("exceed*", 2),
    ("expand*", 1),
    ("fail*", -2),
    ("fall*", -1),
    ("fine*", -1),
    ("fraud*", -3),
    ("gain*", 1),
    ("growth", 1),
    ("halt*", -2),
    ("hack*", -2),
    ("investigat*", -2),
    ("jump*", 2),
    ("launch*", 1),
    ("lawsuit*", -2),
    ("layoff*", -1),
    ("loss*", -1),
    ("lower*", -1),
    ("merger", 2),
    ("misse*", -2),
    ("offering", -2),
    ("outperform*", 2),
    ("partner*", 1),
    ("patent*", 1),
    ("plung*", -3),
    ("probe*", -2),
    ("profit*", 1),
    ("raise*", 2),
    ("rall*", 2),
    ("recall*", -2),
    ("record", 1),
    ("reject*", -2),
    ("resign*", -2),
    ("restat*", -2),
    ("rise*", 1),
    ("sanction*", -2),
    ("settle*", 1),
    ("short-seller", -2),
    ("shortfall", -2),
    ("slash*", -2),
    ("slump*", -2),
    ("soar*", 3),
    ("split", 1),
    ("strike", -1),
    ("strong*", 1),
    ("sue*", -2),
    ("surge*", 3),
    ("suspend*", -2),
    ("takeover", 3),
    ("top*", 1),
    ("upgrad*", 2),
    ("warn*", -2),
    ("weak*", -1),
    ("win*", 1),
];

/// Words that turn what the next two say into its opposite.
const NEGATIONS: [&str; 5] = ["no", "not", "without", "denies", "avoids"];

/// How many words a negation reaches.
const NEGATION_REACHES: u32 = 2;

/// What the words of a headline add up to, at which it counts in full.
const FULL: i64 = 3;

/// How much headlines speak for a rise (above zero) or a fall, from -100 % to 100 %; `None` where they say nothing.
///
/// Each headline is worth the sum of its words in a lexicon, 3 in full. The score is the mean over the headlines
/// that say anything, weighted by age: `half_life / (half_life + age)`, so that news of that age counts half.
///
/// ```
/// # use daybook_core::{analysis::catalyst, money::Bps, time::{Span, Timestamp}};
/// let now = Timestamp(3_600_000);
/// let score = catalyst([(Timestamp(0), "Acme beats estimates, raises outlook")], now, Span::hours(1));
/// assert_eq!(score, Some(Bps(10_000)));
/// assert_eq!(catalyst([(now, "Acme to present at a conference")], now, Span::hours(1)), None);
/// ```
#[must_use]
pub fn catalyst<'a>(
    headlines: impl IntoIterator<Item = (Timestamp, &'a str)>,
    as_of: Timestamp,
    half_life: Span,
) -> Option<Bps> {
    let half_life_ms = i128::from(half_life.as_millis()).max(1);
    let (mut sum, mut weights) = (0_i128, 0_i128);
    for (at, headline) in headlines {
        let Some(value) = value_of(headline).filter(|_| at <= as_of) else { continue };
        let age_ms = i128::from(as_of.0) - i128::from(at.0);
        // Per million: fine enough for news of years ago to count as nothing.
        let weight = half_life_ms * 1_000_000 / (half_life_ms + age_ms);
        sum += weight * i128::from(value);
        weights += weight;
    }
    let mean = (sum * i128::from(Bps::ONE.0)).checked_div(weights * i128::from(FULL))?;
    i64::try_from(mean).ok().map(Bps)
}

/// What a headline is worth, -3 to 3; `None` where no word of it is known.
fn value_of(headline: &str) -> Option<i64> {
    let (mut value, mut known, mut negated) = (0, false, 0);
    for word in headline.split(|c: char| !c.is_alphanumeric() && c != '-') {
        if word.is_empty() {
            continue;
        }
        let word = word.to_lowercase();
        if NEGATIONS.contains(&word.as_str()) {
            negated = NEGATION_REACHES;
            continue;
        }
        if let Some(worth) = worth(&word) {
            known = true;
            value += if negated > 0 { -worth } else { worth };
        }
        negated = u32::saturating_sub(negated, 1);
    }
    known.then(|| value.clamp(-FULL, FULL))
}

fn worth(word: &str) -> Option<i64> {
    let matches = |entry: &str| match entry.strip_suffix('*') {
        Some(stem) => word.starts_with(stem),
        None => word == entry,
    };
    LEXICON.iter().find(|(entry, _)| matches(entry)).map(|(_, worth)| *worth)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    #[test]
    fn headlines_are_worth_their_words() {
        let table = [
            ("Acme beats estimates", Some(2)),
            ("ACME SOARS; record quarter", Some(3)),
            ("Acme plunges after fraud probe", Some(-3)),
            ("Acme not approved", Some(-3)),
            ("No lawsuit for Acme", Some(2)),
            ("Acme names a new office in Toledo", None),
            ("Acme wins, then loses its contract", Some(2)),
            ("", None),
        ];
        for (headline, value) in table {
            assert_eq!(value_of(headline), value, "{headline}");
        }
    }

    #[test]
    fn older_news_counts_less_and_later_news_not_at_all() {
        let now = Timestamp(10 * HOUR_MS);
        let good = |hours_ago: i64| (Timestamp(now.0 - hours_ago * HOUR_MS), "Acme soars");
        let bad = |hours_ago: i64| (Timestamp(now.0 - hours_ago * HOUR_MS), "Acme plunges");
        let score = |headlines: &[(Timestamp, &'static str)]| {
            catalyst(headlines.iter().copied(), now, Span::hours(2)).map(|score| score.0)
        };
        assert_eq!(score(&[good(5)]), Some(10_000));
        // Weights 1 and 1/2: a third is left.
        assert_eq!(score(&[good(0), bad(2)]), Some(3_333));
        assert_eq!(score(&[good(1), bad(-1)]), Some(10_000), "the bad news is not out yet");
        assert_eq!(score(&[]), None);
    }

    #[test]
    fn the_lexicon_has_no_word_twice() {
        for (place, (entry, worth)) in LEXICON.iter().enumerate() {
            assert!((1..=3).contains(&worth.abs()), "{entry}");
            let stem = entry.trim_end_matches('*');
            let earlier = LEXICON
                .iter()
                .take(place)
                .find(|(before, _)| before.strip_suffix('*').map_or(*before == stem, |other| stem.starts_with(other)));
            assert_eq!(earlier, None, "{entry}");
        }
    }
}
