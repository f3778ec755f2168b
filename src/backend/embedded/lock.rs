//! One process at a time may have a data directory.
//!
//! The operating system releases the lock when its process ends, however it ends; so a lock file
//! that was left behind locks nobody out.

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::backend::Failure;

/// Name of the file in the data directory; it holds the ID of the process that has the lock.
const FILE: &str = "lock";
/// How long a holder that is about to let go is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// A data directory that is ours. Dropping it lets go.
#[derive(Debug)]
pub struct DirectoryLock {
    /// The lock lasts as long as the file is open.
    _file: File,
}

/// Another process has the data directory.
#[derive(Debug)]
pub struct InUse {
    directory: PathBuf,
    /// The holder; `None` while it is just taking over.
    process: Option<u32>,
}

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the data directory {} is in use by another gridbroker process", self.directory.display())?;
        self.process.map_or(Ok(()), |process| write!(f, " (pid {process})"))
    }
}

impl std::error::Error for InUse {}

impl DirectoryLock {
    /// Takes a directory that exists. Waits a moment for a holder that is about to let go.
    ///
    /// # Errors
    /// [`InUse`], or the file cannot be made or locked.
    pub async fn take(directory: &Path) -> Result<Self, Failure> {
        let mut waited = Duration::ZERO;
        loop {
            match Self::try_take(directory) {
                Err(failure) if failure.is::<InUse>() && waited < PATIENCE => {
                    tokio::time::sleep(PAUSE).await;
                    waited += PAUSE;
                }
                outcome => return outcome,
            }
        }
    }

    fn try_take(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join(FILE);
        // Not truncated at opening: the file may belong to the holder.
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|error| format!("{} cannot be opened: {error}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let process = file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
                return Err(InUse { directory: directory.to_owned(), process }.into());
            }
            Err(TryLockError::Error(error)) => {
                return Err(format!("{} cannot be locked: {error}", path.display()).into());
            }
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_holder_whose_process_is_named() {
        let data = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::try_take(data.path()).unwrap();
        let refusal = DirectoryLock::try_take(data.path()).unwrap_err();
        let wanted = format!(
            "the data directory {} is in use by another gridbroker process (pid {})",
            data.path().display(),
            std::process::id()
        );
        assert_eq!(refusal.to_string(), wanted);
        assert!(refusal.is::<InUse>());
        drop(lock);
        DirectoryLock::try_take(data.path()).expect("it was let go");
    }

    #[tokio::test]
    async fn a_holder_that_lets_go_in_time_is_waited_for() {
        let data = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::try_take(data.path()).unwrap();
        let (second, ()) = tokio::join!(biased; DirectoryLock::take(data.path()), async { drop(lock) });
        second.expect("the first holder went while the second waited");
    }
}
