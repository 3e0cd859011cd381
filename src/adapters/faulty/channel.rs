use std::sync::Arc;

use async_trait::async_trait;

use super::{Fuse, Side, Site, Spell, Struck};
use crate::ports::{Channel, ChannelError, Clock, Message};

/// What goes wrong on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelFault {
    /// It takes nothing.
    Down,
    /// It takes the message, and its answer is lost.
    AnswerLost,
}

/// A channel with its bad days.
pub struct FaultyChannel {
    inner: Arc<dyn Channel>,
    clock: Arc<dyn Clock>,
    spells: Vec<Spell<ChannelFault>>,
    struck: Struck,
    fuse: Fuse,
}

impl FaultyChannel {
    /// A channel that is at fault during these spells, and at whose calls a process may end.
    #[must_use]
    pub fn new(
        inner: Arc<dyn Channel>,
        clock: Arc<dyn Clock>,
        spells: Vec<Spell<ChannelFault>>,
        struck: Struck,
        fuse: Fuse,
    ) -> Self {
        Self { inner, clock, spells, struck, fuse }
    }
}

#[async_trait]
impl Channel for FaultyChannel {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        self.fuse.pass(Site::Channel, Side::Before).await;
        let now = self.clock.wall();
        let fault = self.spells.iter().find(|spell| spell.holds_at(now));
        if let Some(spell) = fault {
            self.struck.note(spell.number);
            if spell.fault == ChannelFault::AnswerLost {
                self.inner.deliver(message).await?;
            }
            let (channel, reason) = (self.name().to_owned(), "no answer (made up)".to_owned());
            return Err(ChannelError::Transient { channel, reason, after: None });
        }
        let receipt = self.inner.deliver(message).await?;
        self.fuse.pass(Site::Channel, Side::After).await;
        Ok(receipt)
    }
}
