//! The folder that holds one platform's state, and the lock that makes sure that only one runs in it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::disk::free_bytes;

/// Less free disk than this at the start, and the start is refused: PostgreSQL and Kafka would end in the middle of it.
const MIN_FREE_BYTES: u64 = 1024 * 1024 * 1024;

/// What a run leaves in its folder. Only these are erased, so that a wrong `--state` costs nobody a file.
const CONTENTS: [&str; 9] = [
    "logs",
    "config",
    "kafka",
    "postgres",
    "simulator",
    "run.json",
    "environment",
    "merchants.json",
    "seed",
];

/// The folder of one platform.
#[derive(Debug, Clone)]
pub struct State(PathBuf);

/// Held as long as a platform runs in the folder; the kernel frees it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl State {
    /// The folder at this path, which need not exist.
    pub fn at(path: &Path) -> Result<Self> {
        std::path::absolute(path)
            .map(Self)
            .with_context(|| format!("{} is no path", path.display()))
    }

    /// Creates the folder and takes its lock.
    pub fn lock(&self) -> Result<Lock> {
        create(&self.0)?;
        let path = self.0.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => bail!(
                "a platform already runs in {} (process {}): `deploy/status` shows it, `deploy/down` stops it, --state and --port start another",
                self.0.display(),
                self.holder()
                    .map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()),
            ),
            Err(std::fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(Lock(file))
    }

    /// The process that runs a platform in this folder now.
    pub fn holder(&self) -> Option<u32> {
        let mut file = File::open(self.0.join("lock")).ok()?;
        if file.try_lock_shared().is_ok() {
            return None;
        }
        let mut pid = String::new();
        file.read_to_string(&mut pid).ok()?;
        pid.trim().parse().ok()
    }

    /// Fails when the disk is nearly full.
    pub fn check_disk(&self, folder: &Path) -> Result<()> {
        let free = free_bytes(folder).with_context(|| format!("cannot look at {}", folder.display()))?;
        if free < MIN_FREE_BYTES {
            bail!(
                "the disk under {} is full: {} MiB are free, and {} are needed",
                folder.display(),
                free / (1024 * 1024),
                MIN_FREE_BYTES / (1024 * 1024)
            );
        }
        Ok(())
    }

    /// Removes what runs have left, including what lies elsewhere. The lock must be held.
    pub fn erase(&self, _lock: &Lock) -> Result<()> {
        let inside = CONTENTS.iter().map(|name| self.0.join(name));
        for path in inside.chain([self.outside()]) {
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file or folder in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A folder in it, which exists afterwards.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.0.join(name);
        create(&folder)?;
        Ok(folder)
    }

    /// A folder outside, for what the folder itself cannot hold: a socket's path has 107 bytes at most, and another
    /// user cannot pass a home folder of mode 0700.
    pub fn outside(&self) -> PathBuf {
        let digest = hex::encode(Sha256::digest(self.0.as_os_str().as_encoded_bytes()));
        let short: String = digest.chars().take(16).collect();
        PathBuf::from("/var/tmp").join(format!("payments-platform-{short}"))
    }

    /// The secrets of this platform, made at its first start.
    pub fn secrets(&self) -> Result<Secrets> {
        let path = self.0.join("seed");
        let seed = match std::fs::read_to_string(&path) {
            Ok(seed) => seed,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let mut random = [0_u8; 32];
                File::open("/dev/urandom")
                    .and_then(|mut file| file.read_exact(&mut random))
                    .context("cannot read /dev/urandom")?;
                let seed = hex::encode(random);
                write_private(&path, &seed)?;
                seed
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Secrets(seed))
    }
}

fn create(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))
}

/// Writes a file that only this user can read, at once or not at all.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&draft, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Every secret of a platform, derived by name from one seed.
#[derive(Clone)]
pub struct Secrets(String);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Secrets {
    /// The secret of this name: 64 hexadecimal digits.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    pub fn of(&self, name: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("HMAC takes any key");
        mac.update(name.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(name: &str) -> State {
        let path = std::env::temp_dir().join(format!("local state {} {name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        State::at(&path).unwrap()
    }

    #[test]
    fn a_second_platform_in_the_folder_is_told_of_the_first() {
        let state = fresh("second");
        let lock = state.lock().unwrap();
        let error = state.lock().unwrap_err().to_string();
        assert!(
            error.contains(&format!("already runs in {}", state.path().display())),
            "{error}"
        );
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        assert_eq!(state.holder(), Some(std::process::id()));
        drop(lock);
        assert_eq!(state.holder(), None);
        state.lock().unwrap();
    }

    #[test]
    fn erasing_leaves_what_is_not_ours() {
        let state = fresh("erase");
        let lock = state.lock().unwrap();
        state.folder("logs").unwrap();
        state.folder("dist").unwrap();
        let before = state.secrets().unwrap().of("x");
        assert_eq!(before, state.secrets().unwrap().of("x"));
        state.erase(&lock).unwrap();
        assert!(!state.join("logs").exists());
        assert!(state.join("dist").exists());
        assert_ne!(before, state.secrets().unwrap().of("x"));
    }

    #[test]
    fn secrets_are_for_their_owner_only() {
        let state = fresh("private");
        let _lock = state.lock().unwrap();
        state.secrets().unwrap();
        let mode = std::fs::metadata(state.join("seed"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
