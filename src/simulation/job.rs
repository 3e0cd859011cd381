//! Jobs that are slow, panic, or take their process down.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daybook_core::decision::Decision;
use daybook_core::market::{BarSet, Symbol};
use daybook_core::schedule::JobKind;

use crate::adapters::faulty::{Fuse, Spell, Struck};
use crate::engine::JobTable;
use crate::engine::job::{Answer, AnyJob, Sources, Terms};
use crate::ledger::record::Decided;

/// What goes wrong with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobFault {
    /// It takes so much longer.
    Slow { by: Duration },
    /// It panics.
    Panic,
    /// It takes its process down, each time it is run.
    Poison,
}

/// The built-in jobs, each with what goes wrong with it.
pub(super) fn faulty_table(spells: &[(JobKind, Spell<JobFault>)], fuse: &Fuse, struck: &Struck) -> JobTable {
    let faulty = |(kind, inner): (JobKind, Arc<dyn AnyJob>)| {
        let of_kind = spells.iter().filter(|(of, _)| *of == kind).map(|(_, spell)| *spell).collect();
        let job = FaultyJob { inner, spells: of_kind, fuse: fuse.clone(), struck: struck.clone() };
        (kind, Arc::new(job) as Arc<dyn AnyJob>)
    };
    crate::jobs::table().into_iter().map(faulty).collect()
}

struct FaultyJob {
    inner: Arc<dyn AnyJob>,
    spells: Vec<Spell<JobFault>>,
    fuse: Fuse,
    struck: Struck,
}

#[async_trait]
impl AnyJob for FaultyJob {
    async fn run(&self, sources: &Sources, terms: &Terms) -> anyhow::Result<Decided> {
        let now = sources.clock.wall();
        let holds = |spell: &&Spell<JobFault>| match spell.fault {
            // A slot is poison whenever it is run; a job that panics is mended at some time.
            JobFault::Poison => spell.holds_at(terms.slot),
            JobFault::Slow { .. } | JobFault::Panic => spell.holds_at(now),
        };
        if let Some(spell) = self.spells.iter().find(holds) {
            self.struck.note(spell.number);
            match spell.fault {
                JobFault::Slow { by } => sources.clock.sleep_until(now.after(by)).await,
                // Not with `panic!`: it is meant, and nobody needs to read of it.
                JobFault::Panic => std::panic::resume_unwind(Box::new("made up")),
                JobFault::Poison => self.fuse.blow(spell.number).await,
            }
        }
        self.inner.run(sources, terms).await
    }

    fn decide_again(&self, facts: &str, bars: BarSet, terms: &Terms) -> anyhow::Result<Decision> {
        self.inner.decide_again(facts, bars, terms)
    }

    fn answers_again(&self, facts: &str, bars: BarSet, terms: &Terms, symbol: Symbol) -> anyhow::Result<Vec<Answer>> {
        self.inner.answers_again(facts, bars, terms, symbol)
    }
}
