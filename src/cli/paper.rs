//! `trade paper`: an exchange of one's own.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use daybook_core::calendar::Calendar;
use daybook_core::money::{Bps, Money};
use daybook_core::time::Timestamp;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use super::output::{Paint, pairs};
use super::time::Moment;
use crate::adapters::feeds::files::{BarsFeed, BarsFeedSettings};
use crate::adapters::feeds::simulated::SimulatedMarket;
use crate::paper_exchange::{ClockMode, Credentials, FillRules, PaperExchangeSettings, serve};
use crate::ports::MarketFeed;
use crate::wiring;

/// Where it listens unless it is told otherwise.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8790);

/// `trade paper ...`.
#[derive(Debug, Subcommand)]
pub enum PaperCommand {
    /// Serves an exchange that speaks Alpaca's API, on this machine and without a network
    ///
    /// Accounts, orders of all types and classes, positions, market data and both websockets, as any client of Alpaca
    /// knows them. Prices come from the simulated market, from bar files, or from you: POST /admin/price sets one. Everything
    /// is kept in one file; the same command goes on from there. It runs until it is stopped with Ctrl-C.
    #[command(after_help = "Examples:
  trade paper serve
  trade paper serve --clock simulated --start 2026-11-16T09:30 --speed 60
  trade paper serve --clock stepped --start 2026-11-16T09:35 --key TEST:secret
  trade paper serve --bars us_minute_2013-10.csv --clock simulated --start 2013-10-07T09:30

docs/paper-exchange.md leads from nothing to a first order.")]
    Serve(ServeCommand),
}

/// How the exchange's time goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum ClockArg {
    /// As it does
    #[default]
    Real,
    /// From --start on, --speed seconds a second
    Simulated,
    /// It stands still until POST /admin/clock moves it
    Stepped,
}

/// `trade paper serve`.
#[derive(Debug, Args)]
pub struct ServeCommand {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = LISTEN)]
    listen: SocketAddr,
    /// Minute bars that make the market (CSV, .gz, .zst, Parquet, or the folder of a store) [default: the simulated market]
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "seed")]
    bars: Vec<PathBuf>,
    /// The seed of the simulated market
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// How time goes by
    #[arg(long, value_enum, value_name = "CLOCK", default_value_t)]
    clock: ClockArg,
    /// Where a clock that is not real begins; a file that is further goes on there
    #[arg(long, value_name = "TIME", required_if_eq_any = [("clock", "simulated"), ("clock", "stepped")])]
    start: Option<Moment>,
    /// Seconds of a simulated clock in a second
    #[arg(long, value_name = "N", default_value = "1")]
    speed: NonZeroU32,
    /// An account: its key and its secret; more for more accounts
    #[arg(long = "key", value_name = "KEY:SECRET", value_parser = credentials, default_value = "PKDAYBOOK:daybook")]
    keys: Vec<Credentials>,
    /// The cash of a new account
    #[arg(long, value_name = "USD", default_value = "100000", value_parser = cash)]
    cash: Money,
    /// By how much market and stop orders fill worse than the price they meet
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = slippage)]
    slippage: Bps,
    /// The part of a bar's volume that orders may take: less than all of it makes them fill in part
    #[arg(long, value_name = "PERCENT", default_value = "100%", value_parser = participation)]
    participation: Bps,
    /// The exchange's file; made if it is not there
    #[arg(long, value_name = "FILE", default_value = "data/paper-exchange.db")]
    file: PathBuf,
}

fn credentials(text: &str) -> Result<Credentials, String> {
    let parts = text.split_once(':').filter(|(key, secret)| !key.is_empty() && !secret.is_empty());
    let (key, secret) = parts.ok_or("expected a key and a secret with a colon between them, such as TEST:secret")?;
    Ok(Credentials { key: key.to_owned(), secret: secret.to_owned() })
}

fn percentage(text: &str, bounds: std::ops::RangeInclusive<Bps>) -> Result<Bps, String> {
    let percentage: Bps = text.parse().map_err(|error: daybook_core::money::MoneyError| error.to_string())?;
    if bounds.contains(&percentage) {
        Ok(percentage)
    } else {
        Err(format!("expected {} to {}", bounds.start(), bounds.end()))
    }
}

fn slippage(text: &str) -> Result<Bps, String> {
    percentage(text, Bps::ZERO..=Bps(1_000))
}

fn participation(text: &str) -> Result<Bps, String> {
    percentage(text, Bps(1)..=Bps::ONE)
}

fn cash(text: &str) -> Result<Money, String> {
    let cash: Money = text.parse().map_err(|error: daybook_core::money::MoneyError| error.to_string())?;
    let most = Money::whole(1_000_000_000);
    if cash.is_positive() && cash <= most {
        Ok(cash)
    } else {
        Err(format!("expected an amount above 0 and at most {most}"))
    }
}

/// Where the exchange is, and how to come in.
#[derive(Serialize)]
struct Served {
    trading_url: String,
    data_url: String,
    orders_stream_url: String,
    data_stream_url: String,
    accounts: Vec<Account>,
    file: PathBuf,
    market: String,
    clock: String,
}

#[derive(Serialize)]
struct Account {
    key: String,
    secret: String,
}

impl PaperCommand {
    /// Serves until it is stopped.
    ///
    /// # Errors
    /// If the address is taken, or the file or the bars cannot be used.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Serve(command) => command.run(context),
        }
    }
}

impl ServeCommand {
    fn run(self, context: &Context) -> anyhow::Result<()> {
        let configuration = context.configuration()?;
        context.begin_logging(&configuration)?;
        let calendar = Calendar::xnys();
        let (feed, market): (Arc<dyn MarketFeed>, String) = if self.bars.is_empty() {
            let mut settings = configuration.settings.market.simulated.clone();
            settings.seed = self.seed.unwrap_or(settings.seed);
            let told = format!("simulated, seed {}", settings.seed);
            (Arc::new(SimulatedMarket::new(&settings, calendar.clone())), told)
        } else {
            let history = wiring::read_history(&self.bars, false)?;
            let told = format!("bars of {} symbols", history.series.len());
            (Arc::new(BarsFeed::new(Arc::new(history), calendar.clone(), BarsFeedSettings::default())), told)
        };
        let start: Option<Timestamp> = self.start.map(Moment::echoed);
        let from = start.unwrap_or_else(|| context.now());
        let (clock, told_clock) = match self.clock {
            ClockArg::Real => (ClockMode::Real, "real".to_owned()),
            ClockArg::Simulated => {
                (ClockMode::Accelerated { from, times: self.speed.get() }, format!("{} s a second", self.speed))
            }
            ClockArg::Stepped => (ClockMode::Stepped { from }, "stepped by POST /admin/clock".to_owned()),
        };
        if let Some(folder) = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
        }
        let accounts: Vec<Account> =
            self.keys.iter().map(|of| Account { key: of.key.clone(), secret: of.secret.clone() }).collect();
        let settings = PaperExchangeSettings {
            listen: self.listen,
            file: self.file.clone(),
            accounts: self.keys,
            cash: self.cash,
            feed,
            calendar,
            clock,
            fills: FillRules { slippage: self.slippage, participation: self.participation },
        };
        let output = &context.output;
        context.block_on(async move {
            let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
            let server = serve(settings).await?;
            let host = server.address();
            let served = Served {
                trading_url: format!("http://{host}"),
                data_url: format!("http://{host}"),
                orders_stream_url: format!("ws://{host}/stream"),
                data_stream_url: format!("ws://{host}/v2/iex"),
                accounts,
                file: self.file,
                market,
                clock: told_clock,
            };
            output.document(&served, Served::text)?;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            server.stop().await;
            anyhow::Ok(())
        })?
    }
}

impl Served {
    fn text(&self, _: Paint) -> String {
        let mut rows = vec![
            ("trading", self.trading_url.clone()),
            ("data", self.data_url.clone()),
            ("orders' stream", self.orders_stream_url.clone()),
            ("data's stream", self.data_stream_url.clone()),
        ];
        for account in &self.accounts {
            rows.push(("key", account.key.clone()));
            rows.push(("secret", account.secret.clone()));
        }
        rows.push(("market", self.market.clone()));
        rows.push(("clock", self.clock.clone()));
        rows.push(("file", self.file.display().to_string()));
        pairs(&rows)
    }
}
