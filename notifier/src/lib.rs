#![doc = include_str!("../README.md")]

pub mod clients;
pub mod config;
pub mod delivery;
pub mod domain;
pub mod letters;
pub mod store;
