#![doc = include_str!("../README.md")]

pub mod backbone;
pub mod command;
mod configuration;
mod disk;
pub mod distribution;
pub mod doors;
pub mod environment;
pub mod http;
mod log;
pub mod merchant;
pub mod platform;
pub mod ports;
pub mod process;
pub mod processes;
pub mod progress;
pub mod proxy;
pub mod run;
pub mod service;
pub mod signature;
pub mod state;

use std::path::PathBuf;

/// Where a checkout keeps what runs leave behind.
pub fn default_state() -> PathBuf {
    checkout().join(".local")
}

/// Where downloads are kept between runs: `LOCAL_DIST`, else `.local/dist` of the checkout.
pub fn downloads() -> PathBuf {
    std::env::var_os("LOCAL_DIST").map_or_else(|| checkout().join(".local/dist"), PathBuf::from)
}

fn checkout() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or(here.clone(), PathBuf::from)
}
