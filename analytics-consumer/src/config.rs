//! Settings of this service's own.

use serde::Deserialize;

/// The sections beside the common ones.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The dashboard.
    pub dashboard: Dashboard,
}

/// `[dashboard]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dashboard {
    /// Origins whose pages may sign in and open the live socket, `https://dashboards.example.com`. Empty: only pages that
    /// this service serves itself, as told by `Host`.
    pub allowed_origins: Vec<String>,
    /// Whether the session cookie travels over TLS only. Turn it off where the dashboard is served as plain HTTP on
    /// loopback.
    pub secure_cookie: bool,
}

impl Default for Dashboard {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            secure_cookie: true,
        }
    }
}
