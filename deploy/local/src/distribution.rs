//! Kafka and the schema registry, fetched once as Maven artifacts and kept for all later runs.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::process::Launch;
use crate::progress::Progress;

const POM: &str = include_str!("../maven/pom.xml");
/// The path of the stub under the repository, and its text.
const STUB: (&str, &str) = (
    "repository/io/apicurio/apicurio-registry/3.0.9/apicurio-registry-3.0.9.pom",
    include_str!("../maven/repository/io/apicurio/apicurio-registry/3.0.9/apicurio-registry-3.0.9.pom"),
);

/// Where the downloads are.
#[derive(Debug, Clone)]
pub struct Distribution(PathBuf);

impl Distribution {
    /// The downloads under `cache`, fetched unless they are there. Only what our pom.xml names now is used.
    pub async fn fetch(cache: &Path, progress: Progress) -> Result<Self> {
        let version: String = hex::encode(Sha256::digest(POM)).chars().take(12).collect();
        let complete = cache.join(&version);
        std::fs::create_dir_all(cache).with_context(|| format!("cannot create {}", cache.display()))?;
        // Another platform may be fetching the same: then this waits for it.
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(cache.join("lock"))?;
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
        if !complete.is_dir() {
            let step = progress.step("Kafka and the schema registry, from Maven (160 MB)");
            let draft = cache.join("draft");
            if draft.exists() {
                std::fs::remove_dir_all(&draft)?;
            }
            download(&draft, &cache.join("maven.log")).await?;
            std::fs::rename(&draft, &complete)?;
            step.done();
        }
        drop(lock);
        Ok(Self(complete))
    }

    /// The class path of Kafka.
    pub fn kafka_class_path(&self) -> Result<String> {
        let path = self.0.join("kafka/libs/*");
        let path = path.to_str().context("the checkout's path is not UTF-8")?;
        if path.contains(':') {
            bail!(
                "Java cannot load Kafka from {path}, because a colon ends a path; use a folder without one"
            );
        }
        Ok(path.to_owned())
    }

    /// The registry's folder, and its program in it.
    pub fn registry(&self) -> Result<(PathBuf, String)> {
        let folder = self.0.join("apicurio");
        let program = std::fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}", folder.display()))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find(|name| name.ends_with("-runner.jar"))
            .with_context(|| format!("no registry in {}", folder.display()))?;
        Ok((folder, program))
    }
}

async fn download(draft: &Path, log: &Path) -> Result<()> {
    let stub = draft.join(STUB.0);
    if let Some(folder) = stub.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&stub, STUB.1)?;
    std::fs::write(draft.join("pom.xml"), POM)?;
    Launch::new("mvn", "mvn")
        .args(["--batch-mode", "--no-transfer-progress", "package"])
        .folder(draft)
        .run(log)
        .await
        .context("Maven cannot fetch Kafka and the registry")
}
