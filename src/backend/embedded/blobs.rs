//! Objects as files.

use std::{
    collections::BinaryHeap,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use crate::backend::{Beginning, Blobs, Failure, check_object_name};

/// Objects in a directory, spread over 256 folders.
pub struct FileBlobs {
    root: PathBuf,
}

impl FileBlobs {
    /// Opens (and if need be makes) the directory, and clears what a crash left half-written.
    ///
    /// # Errors
    /// The directory cannot be made.
    pub async fn open(root: &Path) -> Result<Self, Failure> {
        let half_written = root.join("incoming");
        let _ = tokio::fs::remove_dir_all(&half_written).await;
        tokio::fs::create_dir_all(&half_written).await?;
        Ok(Self { root: root.to_owned() })
    }

    /// Where an object lies. No name leads out of the directory.
    fn path(&self, name: &str) -> Result<PathBuf, Failure> {
        check_object_name(name)?;
        Ok(self.root.join(folder_of(name)).join(name))
    }
}

/// A file that is being written. What does not become an object, because the disk is full or nobody
/// waits for it any more, leaves nothing behind.
struct Incoming(PathBuf);

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The folder of a name, by all its letters: names begin with the time, and are alike in front.
pub(super) fn folder_of(name: &str) -> String {
    let sum = name.bytes().fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    format!("{sum:02x}")
}

#[async_trait]
impl Blobs for FileBlobs {
    async fn put(&self, name: &str, content: Bytes) -> Result<(), Failure> {
        let path = self.path(name)?;
        let folder = path.parent().ok_or("an object has a folder")?.to_owned();
        tokio::fs::create_dir_all(&folder).await?;
        let incoming = Incoming(self.root.join("incoming").join(Uuid::new_v4().to_string()));
        let mut file = tokio::fs::File::create(&incoming.0).await?;
        file.write_all(&content).await?;
        file.sync_all().await?;
        tokio::fs::rename(&incoming.0, &path).await?;
        tokio::fs::File::open(&folder).await?.sync_all().await?;
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        match tokio::fs::read(self.path(name)?).await {
            Ok(content) => Ok(Some(content.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn beginning(&self, name: &str, most: usize) -> Result<Option<Beginning>, Failure> {
        let file = match tokio::fs::File::open(self.path(name)?).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let size_bytes = file.metadata().await?.len();
        let mut content = Vec::with_capacity(most.min(usize::try_from(size_bytes)?));
        file.take(most as u64).read_to_end(&mut content).await?;
        Ok(Some(Beginning { content: content.into(), size_bytes, version: String::new() }))
    }

    async fn exists(&self, name: &str) -> Result<bool, Failure> {
        Ok(tokio::fs::try_exists(self.path(name)?).await?)
    }

    async fn delete(&self, name: &str) -> Result<(), Failure> {
        match tokio::fs::remove_file(self.path(name)?).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn names(&self, after: &str, before: &str, most: usize) -> Result<Vec<String>, Failure> {
        // The first ones, the last of them on top: however many files there are, no more are held.
        let mut names = BinaryHeap::with_capacity(most + 1);
        for folder in (0..=u8::MAX).map(|sum| self.root.join(format!("{sum:02x}"))) {
            let mut files = match tokio::fs::read_dir(folder).await {
                Ok(files) => files,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            while let Some(file) = files.next_entry().await? {
                let name = file.file_name().to_string_lossy().into_owned();
                if *after < *name && *name < *before {
                    names.push(name);
                    if names.len() > most {
                        names.pop();
                    }
                }
            }
        }
        Ok(names.into_sorted_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_begin_alike_are_spread_over_the_folders() {
        let name = |i: u128| format!("{}.webp", Uuid::from_u128((0x0199_0000_0000_7000 << 64) + i));
        let folders: std::collections::HashSet<_> = (0..4096).map(|i| folder_of(&name(i))).collect();
        assert!(folders.len() > 200, "{} folders for 4,096 names", folders.len());
    }

    #[tokio::test]
    async fn objects_come_back_and_names_cannot_leave_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = FileBlobs::open(dir.path()).await.unwrap();
        blobs.put("abc.webp", Bytes::from_static(b"one")).await.unwrap();
        blobs.put("abc.webp", Bytes::from_static(b"two")).await.unwrap();
        assert_eq!(blobs.get("abc.webp").await.unwrap().as_deref(), Some(&b"two"[..]), "the newest wins");
        assert!(blobs.exists("abc.webp").await.unwrap());
        blobs.delete("abc.webp").await.unwrap();
        assert!(!blobs.exists("abc.webp").await.unwrap());
        assert_eq!(blobs.get("abc.webp").await.unwrap(), None);
        blobs.delete("abc.webp").await.unwrap();
        for name in ["../x", "a/b", "", "..", ".x", "a\0b"] {
            assert!(blobs.put(name, Bytes::new()).await.is_err(), "{name:?} is refused");
        }
    }
}
