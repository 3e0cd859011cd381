use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::letter::{Letterhead, atom, self_contained_page};
use crate::ports::{Channel, ChannelError, Message};

/// Mails tell what an account holds: nobody else on the machine reads them.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Writes every message into a folder: as the letter that would be sent (`.eml`), and its page, if it has
/// one, with the pictures inside (`.html`).
///
/// A file appears whole or not at all, and a repetition replaces it. It is not synced to the disk: what
/// it says is in the ledger, and `trade report day --send` writes it again.
#[derive(Debug, Clone)]
pub struct FileChannel {
    folder: PathBuf,
    letterhead: Letterhead,
}

impl FileChannel {
    /// Its name in the ledger.
    pub const NAME: &'static str = "file";

    /// A channel that writes into `folder`, which is made when the first message comes.
    #[must_use]
    pub const fn new(folder: PathBuf, letterhead: Letterhead) -> Self {
        Self { folder, letterhead }
    }

    fn write(&self, message: &Message) -> Result<String, ChannelError> {
        let failed = |path: &Path, error: &io::Error| self.error(path, error);
        let letter = self
            .letterhead
            .letter(message)
            .map_err(|error| ChannelError::Permanent { channel: Self::NAME.to_owned(), reason: error.to_string() })?;
        DirBuilder::new()
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&self.folder)
            .map_err(|error| failed(&self.folder, &error))?;
        let name = atom(&message.name);
        if let Some(page) = self_contained_page(message) {
            let path = self.folder.join(format!("{name}.html"));
            replace(&path, page.as_bytes()).map_err(|error| failed(&path, &error))?;
        }
        let path = self.folder.join(format!("{name}.eml"));
        replace(&path, &letter.formatted()).map_err(|error| failed(&path, &error))?;
        Ok(path.display().to_string())
    }

    fn error(&self, path: &Path, error: &io::Error) -> ChannelError {
        let channel = Self::NAME.to_owned();
        let reason = format!("{} cannot be written: {error}", path.display());
        match error.kind() {
            ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::AlreadyExists => ChannelError::Permanent { channel, reason },
            // A full disk, for one, may have room again.
            _ => ChannelError::Transient { channel, reason, after: None },
        }
    }
}

/// Writes a file beside `path` and renames it into place: who reads sees the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let written = write_new(&beside, bytes).and_then(|()| {
        crash_point!("mail.written");
        std::fs::rename(&beside, path)
    });
    if written.is_err() {
        // What is left of it says nothing; the next attempt would overwrite it.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    file.write_all(bytes)
}

#[async_trait]
impl Channel for FileChannel {
    fn name(&self) -> &str {
        Self::NAME
    }

    async fn deliver(&self, message: &Message) -> Result<String, ChannelError> {
        let (channel, message) = (self.clone(), message.clone());
        let written = tokio::task::spawn_blocking(move || channel.write(&message)).await;
        written.map_err(|error| ChannelError::Transient {
            channel: Self::NAME.to_owned(),
            reason: format!("the writing was cut short: {error}"),
            after: None,
        })?
    }
}

#[cfg(test)]
mod tests {
    use daybook_core::alert::AlertLevel;

    use super::*;

    fn channel(folder: &Path) -> FileChannel {
        let from = "Daybook <daybook@localhost>".parse().unwrap();
        FileChannel::new(folder.to_owned(), Letterhead { from, to: vec!["owner@localhost".parse().unwrap()] })
    }

    fn digest() -> Message {
        Message {
            key: "dbk-1f3a9c2e-9-file".to_owned(),
            name: "2026-11-16-daily".to_owned(),
            thread: "2026-11-16".to_owned(),
            attempt: 1,
            level: AlertLevel::Info,
            event: "risk.breached".to_owned(),
            symbol: None,
            summary: String::new(),
            subject: "Daybook 2026-11-16".to_owned(),
            text: "A day.\n".to_owned(),
            html: Some("<img src=\"cid:equity\">".to_owned()),
            pictures: vec![("equity".to_owned(), vec![1, 2, 3])],
            settled: vec![],
            at: "2026-11-16T21:15:00Z".parse().unwrap(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_digest_is_a_letter_and_a_page_that_only_the_owner_reads() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("data/mail");
        let receipt = channel(&folder).deliver(&digest()).await.unwrap();
        assert_eq!(names(&folder), ["2026-11-16-daily.eml", "2026-11-16-daily.html"]);
        assert_eq!(receipt, folder.join("2026-11-16-daily.eml").display().to_string());
        let page = std::fs::read_to_string(folder.join("2026-11-16-daily.html")).unwrap();
        assert_eq!(page, "<img src=\"data:image/png;base64,AQID\">");
        for (path, mode) in [(folder.join("2026-11-16-daily.eml"), FILE_MODE), (folder.clone(), FOLDER_MODE)] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[tokio::test]
    async fn a_repetition_replaces_the_file() {
        let home = tempfile::tempdir().unwrap();
        let channel = channel(home.path());
        channel.deliver(&digest()).await.unwrap();
        channel.deliver(&Message { attempt: 2, ..digest() }).await.unwrap();
        assert_eq!(names(home.path()).len(), 2);
        let letter = std::fs::read_to_string(home.path().join("2026-11-16-daily.eml")).unwrap();
        assert!(letter.contains("X-Daybook-Attempt: 2"));
    }

    #[tokio::test]
    async fn a_name_cannot_leave_the_folder() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("mail");
        let evil = Message { name: "../../evil".to_owned(), html: None, ..digest() };
        channel(&folder).deliver(&evil).await.unwrap();
        assert_eq!(names(&folder), ["..-..-evil.eml"]);
    }

    #[tokio::test]
    async fn a_folder_that_is_a_file_needs_a_person() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("mail");
        std::fs::write(&path, "").unwrap();
        let error = channel(&path).deliver(&digest()).await.unwrap_err();
        assert!(
            matches!(&error, ChannelError::Permanent { reason, .. } if reason.contains("cannot be written")),
            "{error}"
        );
    }
}
