use tokio::process::Child;

/// A program that leads a process group of its own (`process_group(0)`), and what it has started. Dropped before its end
/// was awaited, all of them are killed.
pub(super) struct Group(pub(super) Child);

impl Drop for Group {
    fn drop(&mut self) {
        // There is a number until the end was awaited: so long no other process can have it.
        if let Some(leader) = self.0.id().and_then(|id| libc::pid_t::try_from(id).ok()) {
            // SAFETY: it takes a number and touches no memory. The group is the one that the program leads.
            let _ = unsafe { libc::killpg(leader, libc::SIGKILL) };
        }
    }
}
