//! Ways to tell a person.
//!
//! Both channels deliver the very same letter: [`EmailChannel`] hands it to a mail server, and
//! [`FileChannel`], which is always on, writes it into a folder, so that no mail is lost because a
//! server was. What went wrong is classed by what may be done next: a network fails for a while, a wrong
//! password until somebody changes it.

mod email;
mod file;
mod letter;
mod settings;

#[cfg(test)]
mod fake_smtp;

pub use email::{EmailChannel, EmailError, letterhead};
pub use file::FileChannel;
pub use letter::{LetterError, Letterhead, self_contained_page};
pub use settings::{EmailSettings, Security};
