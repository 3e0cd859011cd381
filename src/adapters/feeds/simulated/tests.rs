use daybook_core::market::{Timeframe, aggregate};
use daybook_core::money::Price;
use proptest::prelude::*;

use super::*;

fn market(seed: u64) -> SimulatedMarket {
    SimulatedMarket::new(&SimulatedMarketSettings { seed, ..Default::default() }, Calendar::xnys())
}

fn date(year: i32, month: u32, day: u32) -> SessionDate {
    SessionDate::of(year, month, day).unwrap()
}

fn session(date: SessionDate) -> Session {
    Calendar::xnys().session(date).unwrap()
}

fn symbols(market: &SimulatedMarket, every: usize) -> Vec<Symbol> {
    market.companies.iter().step_by(every).map(|company| company.symbol).collect()
}

/// Close-to-close returns of a symbol over the sessions between two dates.
fn returns(market: &SimulatedMarket, symbol: Symbol, from: SessionDate, to: SessionDate) -> Vec<f64> {
    let sessions = market.calendar.sessions(from, to);
    let closes: Vec<f64> =
        sessions.filter_map(|s| market.daily_bar(symbol, &s)).map(|bar| bar.close.to_f64()).collect();
    closes.windows(2).map(|pair| pair[1] / pair[0] - 1.0).collect()
}

fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / values.len() as f64).sqrt()
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let covariance = a.iter().zip(b).map(|(x, y)| (x - mean_a) * (y - mean_b)).sum::<f64>() / a.len() as f64;
    covariance / deviation(a) / deviation(b)
}

#[test]
fn five_hundred_distinct_symbols_in_eleven_sectors_are_listed() {
    let market = market(1);
    let infos: Vec<SymbolInfo> = market.companies.iter().map(Company::info).collect();
    let names: std::collections::BTreeSet<Symbol> = infos.iter().map(|info| info.symbol).collect();
    let sectors: std::collections::BTreeSet<&str> = infos.iter().map(|info| info.sector.as_str()).collect();
    assert_eq!((names.len(), sectors.len()), (500, 11));
    let few = SimulatedMarket::new(&SimulatedMarketSettings { symbols: 7, seed: 1 }, Calendar::xnys());
    assert_eq!(few.companies.len(), 7);
    assert!(SimulatedMarketSettings { symbols: 501, seed: 1 }.problems().len() == 1);
}

#[test]
fn bars_are_sane_in_every_part_of_full_and_half_days() {
    let market = market(2);
    for day in [date(2026, 11, 16), date(2026, 11, 27), date(1990, 1, 2), date(2030, 12, 31)] {
        let session = session(day);
        for symbol in symbols(&market, 23) {
            let bars = market.bars(symbol, &session).unwrap();
            for bar in &bars {
                assert_eq!(bar.check(), Ok(()), "{symbol} {bar:?}");
                assert!(bar.high > bar.low && bar.volume.is_positive(), "{symbol} {bar:?}");
                for price in [bar.open, bar.high, bar.low, bar.close] {
                    assert_eq!(price.0 % Price::from_cents(1).0, 0, "{symbol} {bar:?} is off the tick");
                }
                assert!(bar.start >= session.pre_open && bar.start < session.post_close);
            }
            assert!(bars.windows(2).all(|pair| pair[0].minute_end() <= pair[1].start));
            let regular = market.minutes(symbol, &session, Part::Regular).unwrap();
            assert_eq!(regular.first().unwrap().start, session.open);
            assert_eq!(regular.last().unwrap().minute_end(), session.close);
        }
    }
}

#[test]
fn a_daily_bar_is_the_aggregate_of_its_minutes_and_the_next_day_follows_on() {
    let market = market(3);
    let (monday, tuesday) = (session(date(2026, 11, 16)), session(date(2026, 11, 17)));
    for symbol in symbols(&market, 41) {
        let minutes = market.bars(symbol, &monday).unwrap();
        let aggregated = aggregate(&minutes, &monday, Timeframe::D1).unwrap();
        assert_eq!(aggregated.first().map(|bucket| bucket.bar), market.daily_bar(symbol, &monday));
        let post = market.minutes(symbol, &monday, Part::PostMarket).unwrap();
        let pre = market.minutes(symbol, &tuesday, Part::PreMarket).unwrap();
        let open = market.minutes(symbol, &tuesday, Part::Regular).unwrap()[0].open;
        // The parts join: where the last minute of the pre-market trades, it ends at the open.
        if let Some(last) = pre.last().filter(|bar| bar.minute_end() == tuesday.open) {
            assert_eq!(last.close, open, "{symbol}");
        }
        if let Some(first) = post.first().filter(|bar| bar.start == monday.close) {
            assert_eq!(Some(first.open), market.daily_bar(symbol, &monday).map(|bar| bar.close), "{symbol}");
        }
    }
}

/// A recorded simulation is only as good as its market: these numbers change when any formula does, or
/// when a machine computes otherwise.
#[test]
fn the_market_of_a_seed_is_fixed_to_the_last_cent() {
    let market = market(1);
    let mut digest = 0_u64;
    for day in [date(1999, 12, 31), date(2026, 11, 16), date(2026, 11, 27)] {
        for symbol in symbols(&market, 100) {
            for bar in market.bars(symbol, &session(day)).unwrap() {
                for number in [bar.start.0, bar.open.0, bar.high.0, bar.low.0, bar.close.0, bar.volume.0] {
                    digest = (digest ^ number.cast_unsigned()).wrapping_mul(0x0100_0000_01b3).rotate_left(7);
                }
            }
        }
    }
    assert_eq!(digest, 1_651_442_343_789_533_787, "the simulated market has changed");
}

#[test]
fn prices_stay_sane_over_forty_years() {
    let market = market(4);
    for symbol in symbols(&market, 50) {
        let company = market.company(symbol).unwrap();
        let base = draw::exp(company.base);
        for year in 1990..=2030 {
            let day = market.calendar.session_after(date(year, 6, 1)).unwrap();
            let close = market.daily_bar(symbol, &day).unwrap().close.to_f64();
            assert!(
                close > 0.15 * base && close < 7.0 * base && close > 0.5,
                "{symbol} {close} against {base} in {year}"
            );
        }
    }
}

#[test]
fn volatility_volume_and_correlation_look_like_a_market() {
    let market = market(5);
    let (from, to) = (date(2025, 1, 2), date(2025, 12, 31));
    let rows: Vec<(u32, Vec<f64>)> = symbols(&market, 25)
        .into_iter()
        .map(|symbol| (market.company(symbol).unwrap().sector, returns(&market, symbol, from, to)))
        .collect();
    for (_, returns) in &rows {
        let annual = deviation(returns) * 252_f64.sqrt();
        assert!((0.12..1.5).contains(&annual), "a volatility of {annual} a year");
    }
    let (mut inside, mut across) = (Vec::new(), Vec::new());
    for (i, (sector, a)) in rows.iter().enumerate() {
        for (other, b) in &rows[i + 1..] {
            if sector == other { inside.push(correlation(a, b)) } else { across.push(correlation(a, b)) }
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    assert!(mean(&across) > 0.05, "{}", mean(&across));
    assert!(mean(&inside) > mean(&across), "{} {}", mean(&inside), mean(&across));

    // Wild days follow wild days: squared returns of the whole market are correlated from day to day.
    let index: Vec<f64> =
        (0..rows[0].1.len()).map(|day| mean(&rows.iter().map(|row| row.1[day]).collect::<Vec<_>>())).collect();
    let sizes: Vec<f64> = index.iter().map(|x| x.abs()).collect();
    assert!(correlation(&sizes[1..], &sizes[..sizes.len() - 1]) > 0.05);
}

#[test]
fn mornings_and_closes_are_lively_and_noon_is_calm() {
    let market = market(6);
    let (mut volume, mut range) = ([0.0; 13], [0.0; 13]);
    for session in market.calendar.sessions(date(2026, 3, 2), date(2026, 3, 20)) {
        for symbol in symbols(&market, 40) {
            let minutes = market.minutes(symbol, &session, Part::Regular).unwrap();
            for (place, half_hour) in aggregate(&minutes, &session, Timeframe::M30).unwrap().iter().enumerate() {
                volume[place] += half_hour.bar.volume.to_f64() / market.company(symbol).unwrap().shares;
                range[place] += half_hour.bar.high.to_f64() / half_hour.bar.low.to_f64() - 1.0;
            }
        }
    }
    assert!(volume[0] > 1.5 * volume[6] && volume[12] > 1.5 * volume[6], "{volume:?}");
    assert!(range[0] > 1.3 * range[6] && range[12] > range[6], "{range:?}");
}

#[test]
fn days_gap_and_every_large_jump_is_in_the_news() {
    let market = market(7);
    let (mut gaps, mut jumps) = (0, 0);
    for session in market.calendar.sessions(date(2026, 9, 1), date(2026, 9, 30)) {
        let before = market.calendar.session_before(session.date).unwrap();
        for symbol in symbols(&market, 10) {
            let company = market.company(symbol).unwrap();
            let close = market.daily_bar(symbol, &before).unwrap().close.to_f64();
            let open = market.daily_bar(symbol, &session).unwrap().open.to_f64();
            gaps += u32::from((open / close - 1.0).abs() > 0.01);
            for jump in days::Walk::company(7, company).jumps(days::number(session.date)).iter().flatten() {
                assert!(jump.size.abs() > 0.01);
                jumps += 1;
                let told = market.news_between(company, before.close, session.close);
                assert!(!told.is_empty(), "{symbol} jumps by {} without news on {}", jump.size, session.date);
            }
        }
    }
    assert!(gaps > 100, "{gaps} gaps in 1,050 days");
    assert!(jumps > 10, "{jumps} jumps in 1,050 days");
}

#[test]
fn a_jump_within_the_day_comes_in_the_minute_of_its_news() {
    let market = market(8);
    let mut seen = 0;
    for session in market.calendar.sessions(date(2026, 1, 5), date(2026, 1, 30)) {
        for company in &market.companies {
            let [_, jump] = days::Walk::company(8, company).jumps(days::number(session.date));
            let Some(jump) = jump.filter(|jump| jump.size.abs() > 0.06) else { continue };
            let minutes = market.minutes(company.symbol, &session, Part::Regular).unwrap();
            let news = market.news_between(company, Timestamp(session.open.0 - 1), session.close);
            let moved_most = minutes
                .windows(2)
                .max_by(|a, b| {
                    let size = |pair: &[Bar]| (pair[1].close.to_f64() / pair[0].close.to_f64()).ln().abs();
                    size(a).total_cmp(&size(b))
                })
                .unwrap();
            assert!(
                news.iter().any(|item| item.at > moved_most[0].start && item.at <= moved_most[1].start),
                "{} moved at {} by {}, but {news:?}",
                company.symbol,
                moved_most[1].start,
                jump.size
            );
            seen += 1;
        }
    }
    assert!(seen > 3, "{seen}");
}

#[test]
fn some_breakouts_succeed_and_some_fail() {
    let market = market(9);
    let (mut broken, mut held) = (0, 0);
    for session in market.calendar.sessions(date(2026, 5, 4), date(2026, 5, 29)) {
        for symbol in symbols(&market, 20) {
            let minutes = market.minutes(symbol, &session, Part::Regular).unwrap();
            let (range, rest) =
                minutes.split_at(minutes.partition_point(|bar| bar.start.0 < session.open.0 + 15 * 60_000));
            let high = range.iter().map(|bar| bar.high).max().unwrap();
            if let Some(breakout) = rest.iter().find(|bar| bar.close > high) {
                broken += 1;
                held += u32::from(rest.last().unwrap().close > breakout.close);
            }
        }
    }
    let share = f64::from(held) / f64::from(broken);
    assert!(broken > 200 && (0.3..0.7).contains(&share), "{held} of {broken} breakouts held");
}

#[test]
fn calm_ordinary_and_wild_days_all_occur() {
    let market = market(10);
    let days = market.calendar.sessions(date(2026, 1, 2), date(2026, 12, 31));
    let wildness: Vec<f64> = days.map(|s| days::Walk::market(10).day(days::number(s.date)).wildness).collect();
    let share = |test: fn(f64) -> bool| wildness.iter().filter(|w| test(**w)).count() as f64 / wildness.len() as f64;
    assert!(share(|w| w < 0.7) > 0.1 && share(|w| w > 1.5) > 0.1, "{wildness:?}");
    assert!(share(|w| (0.7..=1.5).contains(&w)) > 0.25);
}

#[test]
fn the_market_that_never_closes_works_too() {
    let calendar = Calendar::always_open();
    let market = SimulatedMarket::new(&SimulatedMarketSettings::default(), calendar.clone());
    let saturday = calendar.session(date(2026, 11, 14)).unwrap();
    let symbol = symbols(&market, 500)[0];
    let bars = market.bars(symbol, &saturday).unwrap();
    assert!(bars.len() > 1_000 && bars.len() <= 1_440);
    assert!(bars.iter().all(|bar| bar.check().is_ok()));
    assert!(market.quote_at(symbol, Timestamp(saturday.open.0 + 90_500)).is_some());
}

#[tokio::test]
async fn nothing_of_the_future_is_told() {
    let market = market(11);
    let session = session(date(2026, 11, 16));
    let symbol = symbols(&market, 1)[17];
    let whole = market.bars(symbol, &session).unwrap();
    for as_of in (session.pre_open.0..session.post_close.0).step_by(1_234_567).map(Timestamp) {
        let bars = market.minute_bars(symbol, session.pre_open, as_of).await.unwrap();
        let complete: Vec<Bar> = whole.iter().filter(|bar| bar.minute_end() <= as_of).copied().collect();
        assert_eq!(bars, complete, "at {as_of}");
        let quote = market.quote(symbol, as_of).await.unwrap().unwrap();
        assert!(quote.at <= as_of, "{quote:?} at {as_of}");
        let news = market.news(symbol, session.pre_open, as_of).await.unwrap();
        assert!(news.iter().all(|item| item.at <= as_of));
    }
    let daily = market.daily_bars(symbol, 20, session.date).await.unwrap();
    assert_eq!((daily.len(), daily.last().map(|bar| bar.start < session.open)), (20, Some(true)));
    assert!(daily.is_sorted_by_key(|bar| bar.start));
}

#[tokio::test]
async fn a_symbol_that_is_not_listed_is_refused() {
    let error = market(1).quote("AAPL".parse().unwrap(), Timestamp(0)).await.unwrap_err();
    assert_eq!(error.to_string(), "simulated: AAPL is not listed; the simulated market has 500 symbols");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Asked in any order, with or without a memory, the market gives the same answers.
    #[test]
    fn answers_do_not_depend_on_the_order_of_questions(
        seed in 0_u64..3,
        questions in proptest::collection::vec((0_usize..500, 0_i64..9_000, 0_usize..3), 1..8),
    ) {
        let first = market(seed);
        let ask = |market: &SimulatedMarket, &(place, day, part): &(usize, i64, usize)| {
            let symbol = market.companies[place].symbol;
            let session = market.calendar.session_after(date(2000, 1, 3).plus_days(day)).unwrap();
            (market.minutes(symbol, &session, Part::ALL[part]).unwrap(), market.quote_at(symbol, Timestamp(session.open.0 + day * 1_000)))
        };
        let answers: Vec<_> = questions.iter().map(|question| ask(&first, question)).collect();
        for (question, answer) in questions.iter().zip(&answers).rev() {
            prop_assert_eq!(&ask(&market(seed), question), answer);
        }
    }

    /// Quotes lie within their minute, on the tick, around the open at its first instant.
    #[test]
    fn quotes_agree_with_the_minutes(place in 0_usize..500, day in 0_i64..3_000, offset_ms in 0_i64..23_400_000) {
        let market = market(12);
        let symbol = market.companies[place].symbol;
        let session = market.calendar.session_after(date(2020, 1, 2).plus_days(day)).unwrap();
        let at = Timestamp(session.open.0 + offset_ms % (session.close.0 - session.open.0));
        let quote = market.quote_at(symbol, at).unwrap();
        prop_assert_eq!(quote.check(), Ok(()));
        prop_assert!(quote.bid < quote.ask && quote.at <= at);
        let minutes = market.minutes(symbol, &session, Part::Regular).unwrap();
        let bar = minutes.iter().rev().find(|bar| bar.start <= at).unwrap();
        prop_assert!(quote.bid >= bar.low && quote.ask <= bar.high, "{:?} outside {:?}", quote, bar);
        let opening = market.quote_at(symbol, bar.start).unwrap();
        prop_assert!(opening.bid <= bar.open.plus(opening.ask.minus(opening.bid).unwrap()).unwrap());
        prop_assert_eq!(opening.at, bar.start);
    }
}
