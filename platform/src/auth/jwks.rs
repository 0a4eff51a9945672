//! An issuer's public keys: fetched when first needed, kept, refreshed, and kept longer when the issuer is away.

use std::sync::{Arc, PoisonError, RwLock};

use eventing::Clock;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use url::Url;

use crate::client::Client;
use crate::problem::Chain;

/// Keys older than this are fetched again, so that a revoked key stops being believed.
const REFRESH_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// However many tokens with unknown keys come, the issuer is asked no more often than this.
const ASK_AT_MOST_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// The keys of one issuer.
pub(super) struct KeySet {
    url: Url,
    client: Client,
    clock: Clock,
    keys: RwLock<Option<Arc<Keys>>>,
    /// Held by the one caller who asks the issuer; says when it was last asked.
    asking: tokio::sync::Mutex<Option<Timestamp>>,
}

struct Keys {
    set: JwkSet,
    fetched_at: Timestamp,
}

/// The issuer never answered with its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeysUnavailable;

impl KeySet {
    pub(super) fn new(url: Url, client: Client, clock: Clock) -> Self {
        Self {
            url,
            client,
            clock,
            keys: RwLock::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The key of this id; `None` when the issuer does not have it.
    pub(super) async fn find(&self, kid: Option<&str>) -> Result<Option<DecodingKey>, KeysUnavailable> {
        if let Some(keys) = self.current()
            && let Some(key) = keys.find(kid)
        {
            if self.is_old(&keys) {
                self.refresh_unless_asked().await;
                return Ok(self.current().and_then(|keys| keys.find(kid)));
            }
            return Ok(Some(key));
        }
        self.refresh_once().await;
        self.current().map(|keys| keys.find(kid)).ok_or(KeysUnavailable)
    }

    fn current(&self) -> Option<Arc<Keys>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_old(&self, keys: &Keys) -> bool {
        self.clock.now().duration_since(keys.fetched_at) > REFRESH_AFTER
    }

    /// For a caller who has a usable key: asks only if nobody else does.
    async fn refresh_unless_asked(&self) {
        if let Ok(mut asked_at) = self.asking.try_lock() {
            self.refresh(&mut asked_at).await;
        }
    }

    /// For a caller without a key: waits for whoever asks, and asks itself if that is allowed yet.
    async fn refresh_once(&self) {
        let mut asked_at = self.asking.lock().await;
        self.refresh(&mut asked_at).await;
    }

    async fn refresh(&self, asked_at: &mut Option<Timestamp>) {
        let now = self.clock.now();
        if asked_at.is_some_and(|asked_at| now.duration_since(asked_at) < ASK_AT_MOST_EVERY) {
            return;
        }
        *asked_at = Some(now);
        let fetched = match self.client.get(self.url.clone()).send().await {
            Ok(answer) => answer.success_json::<JwkSet>(),
            Err(failure) => Err(failure),
        };
        match fetched {
            Ok(set) => {
                let keys = Arc::new(Keys { set, fetched_at: now });
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
            }
            Err(failure) => {
                tracing::warn!(url = %self.url, error = %Chain(&failure), "an issuer's keys could not be fetched");
            }
        }
    }
}

impl Keys {
    fn find(&self, kid: Option<&str>) -> Option<DecodingKey> {
        let key = match (kid, self.set.keys.as_slice()) {
            (Some(kid), _) => self.set.find(kid),
            // A token need not name its key when there is no choice.
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        key.and_then(|key| DecodingKey::from_jwk(key).ok())
    }
}
