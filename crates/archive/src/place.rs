//! Where an export lies: a directory or a bucket of anything that speaks S3, both behind `object_store`. An object
//! appears whole or not at all, and once [`Place::put`] has returned it outlives a power cut.

use std::collections::HashMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::TryStreamExt;
use headwater_media::kind::content_type;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Attribute, Attributes, Error, ObjectStore, ObjectStoreExt, PutOptions};

/// A directory or a part of a bucket.
#[derive(Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    /// Empty, or what every key begins with.
    prefix: String,
    /// The directory, if it is one.
    folder: Option<PathBuf>,
    name: String,
}

impl Place {
    /// A directory.
    ///
    /// # Errors
    /// It is not there and cannot be made, if it is to be `made`.
    pub fn folder(path: &FilePath, made: bool) -> Result<Self> {
        let name = path.display().to_string();
        if made {
            std::fs::create_dir_all(path).with_context(|| format!("cannot make the directory {name}"))?;
        } else if !path.is_dir() {
            bail!("there is no directory {name}");
        }
        let folder = path.canonicalize().with_context(|| format!("cannot find {name}"))?;
        let store = LocalFileSystem::new_with_prefix(&folder).with_context(|| format!("cannot use {name}"))?;
        let store: Arc<dyn ObjectStore> = Arc::new(store.with_fsync(true));
        Ok(Self { store, prefix: String::new(), folder: Some(folder), name })
    }

    /// The part below `prefix` of `bucket`; `builder` knows endpoint and credentials.
    ///
    /// # Errors
    /// The builder lacks something; the message says what.
    pub fn bucket(builder: AmazonS3Builder, bucket: &str, prefix: &str) -> Result<Self> {
        let name = format!("s3://{bucket}/{prefix}");
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = builder.with_bucket_name(bucket).build().with_context(|| format!("cannot use {name}"))?;
        let prefix = prefix.trim_matches('/');
        Path::parse(prefix).with_context(|| format!("`{prefix}` can be no prefix of keys"))?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { store: Arc::new(store), prefix, folder: None, name })
    }

    /// As a person named it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes an object, or replaces it, with the content type that its path and bytes tell.
    ///
    /// # Errors
    /// The place does not take it; what was there before is still there.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        let mut options = PutOptions::default();
        // A directory has no place for it.
        if self.folder.is_none() {
            let kind = content_type(path, &bytes[..]);
            options.attributes = Attributes::from_iter([(Attribute::ContentType, kind)]);
        }
        let put = self.store.put_opts(&self.key(path)?, bytes.into(), options).await;
        put.with_context(|| format!("cannot write {path} to {}", self.name))?;
        Ok(())
    }

    /// The bytes of an object; `None` if it is not there.
    ///
    /// # Errors
    /// The place does not answer.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        let read = async { self.store.get(&self.key(path)?).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {path} from {}", self.name)),
        }
    }

    /// Removes an object; it need not be there.
    ///
    /// # Errors
    /// The place does not answer.
    pub async fn remove(&self, path: &str) -> Result<()> {
        match self.store.delete(&self.key(path)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot remove {path} from {}", self.name)),
        }
    }

    /// Every object's size, by path.
    ///
    /// # Errors
    /// The place does not answer.
    pub async fn sizes(&self) -> Result<HashMap<String, u64>> {
        let prefix = Path::parse(&self.prefix).map_err(Error::from)?;
        let mut sizes = HashMap::new();
        let mut list = self.store.list(Some(&prefix));
        while let Some(meta) = list.try_next().await.with_context(|| format!("cannot list {}", self.name))? {
            if let Some(path) = meta.location.as_ref().strip_prefix(&self.prefix) {
                sizes.insert(path.to_owned(), meta.size);
            }
        }
        Ok(sizes)
    }

    /// Removes the temporary files of a writer that was killed: `object_store` calls them `NAME#1`, and no path of an
    /// event has a `#`.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn sweep(&self) -> Result<()> {
        let mut open: Vec<PathBuf> = self.folder.iter().cloned().collect();
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                } else if is_temporary(&entry.file_name().to_string_lossy()) {
                    std::fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Not encoded further: the characters of templates are safe in files' names and in keys.
    fn key(&self, path: &str) -> Result<Path, Error> {
        Ok(Path::parse(format!("{}{path}", self.prefix))?)
    }
}

fn is_temporary(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(before, digits)| {
        !before.is_empty() && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
#[path = "place/tests.rs"]
mod tests;
