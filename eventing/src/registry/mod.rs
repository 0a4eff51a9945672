//! The schema registry: which id a schema of ours has, and which schema an id means.
//!
//! Answers are kept in the service's own database, so that a restart needs no registry. Nothing is registered from here:
//! that happens ahead of time, where compatibility is checked.

mod http;
mod kept;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use apache_avro::Schema;
use sqlx::PgPool;

use crate::Clock;
use crate::consumer::bounds;

/// A client of a registry with Confluent's HTTP interface. Cloning is cheap, and clones share what they know.
#[derive(Clone, Debug)]
pub struct SchemaRegistry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: http::Client,
    pool: PgPool,
    clock: Clock,
    parsed: RwLock<HashMap<u32, Parsed>>,
}

/// A schema that was obtained.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) schema: Arc<Schema>,
    /// A value of it may hold more than its bytes tell.
    pub(crate) nests: bool,
}

/// Why a schema or its id could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry answered that it knows no such thing. Every other error may pass by itself.
    #[error("the schema registry does not know {0}")]
    NotFound(String),
    /// The configured address is no URL.
    #[error("the schema registry's address {0:?} is not an http url")]
    Address(String),
    /// No answer came, or one that says nothing about the question.
    #[error("the schema registry cannot be reached at {url}: {cause}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What went wrong.
        cause: String,
    },
    /// The registry answered with something that is no Avro schema.
    #[error("schema {id} is not valid avro: {cause}")]
    Invalid {
        /// The schema's id.
        id: u32,
        /// What the parser said.
        cause: Box<apache_avro::Error>,
    },
    /// The database that keeps the answers failed.
    #[error("the schemas kept in the database cannot be read or written")]
    Database(#[from] sqlx::Error),
}

impl RegistryError {
    /// Whether the registry itself said so, rather than being out of reach.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }
}

impl SchemaRegistry {
    /// A client for the registry at `url` (the Confluent-compatible base, such as `http://host:8081/apis/ccompat/v7`), which
    /// keeps what it learns in the database behind `pool`.
    pub fn new(url: &str, pool: PgPool) -> Result<Self, RegistryError> {
        let http = http::Client::new(url)?;
        Ok(Self(Arc::new(Inner {
            http,
            pool,
            clock: Clock::system(),
            parsed: RwLock::default(),
        })))
    }

    /// The schema with this id.
    pub async fn schema(&self, id: u32) -> Result<Arc<Schema>, RegistryError> {
        Ok(self.parsed(id).await?.schema)
    }

    /// The schema with this id, if it was asked for before.
    pub(crate) fn known(&self, id: u32) -> Option<Parsed> {
        let parsed = self.0.parsed.read().unwrap_or_else(PoisonError::into_inner);
        parsed.get(&id).cloned()
    }

    pub(crate) async fn parsed(&self, id: u32) -> Result<Parsed, RegistryError> {
        if let Some(known) = self.known(id) {
            return Ok(known);
        }
        let definition = self.definition(id).await?;
        let schema = Schema::parse_str(&definition).map_err(|cause| RegistryError::Invalid {
            id,
            cause: Box::new(cause),
        })?;
        let parsed = Parsed {
            nests: bounds::nests(&schema),
            schema: Arc::new(schema),
        };
        // Bounded by the number of versions that the registry holds of our topics' schemas.
        self.0
            .parsed
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, parsed.clone());
        Ok(parsed)
    }

    /// The id of a schema that is registered under `subject`.
    pub async fn id_of(&self, subject: &str, definition: &str) -> Result<u32, RegistryError> {
        if let Some(id) = kept::id_of(&self.0.pool, subject, definition).await? {
            return Ok(id);
        }
        let registered = self.0.http.look_up(subject, definition).await?;
        kept::keep_id(&self.0.pool, subject, definition, &registered, self.0.clock.now()).await?;
        Ok(registered.id)
    }

    /// Asks the registry for anything at all, to see whether it answers.
    pub async fn check(&self) -> Result<(), RegistryError> {
        self.0.http.check().await
    }

    async fn definition(&self, id: u32) -> Result<String, RegistryError> {
        if let Some(definition) = kept::definition(&self.0.pool, id).await? {
            return Ok(definition);
        }
        let definition = self.0.http.definition(id).await?;
        kept::keep(&self.0.pool, id, &definition, self.0.clock.now()).await?;
        Ok(definition)
    }
}
