//! Where connections may go: a URL that somebody else chose must not lead into our own network.
//!
//! Checked on the addresses that a name resolves to, in the resolver whose answer is connected to; a check ahead of the call
//! would be fooled by a name that answers differently the second time.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::Deserialize;
use url::{Host, Url};

/// Which addresses a client connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Any: the URL comes from our own configuration.
    Any,
    /// Only public ones, and those of the listed networks: the URL comes from somebody else.
    PublicOr(Vec<Network>),
}

/// Who answers which addresses a name has.
#[derive(Clone)]
pub enum Lookup {
    /// The system's resolver.
    System,
    /// This function: a test decides, also differently the second time.
    Given(LookupFunction),
}

/// From a name to its addresses.
pub type LookupFunction = Arc<dyn Fn(&str) -> Vec<IpAddr> + Send + Sync>;

/// An address that must not be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the address is not a public one")]
pub struct Forbidden;

/// A network in CIDR notation, `127.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

/// The text is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a network like 127.0.0.0/8, got {0:?}")]
pub struct NetworkError(String);

impl AddressPolicy {
    /// Whether the address may be connected to.
    pub fn allows(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::PublicOr(networks) => {
                let address = address.to_canonical();
                is_public(address) || networks.iter().any(|network| network.contains(address))
            }
        }
    }

    /// A URL with an address instead of a name never reaches the resolver.
    pub(super) fn check_literal(&self, url: &Url) -> Result<(), Forbidden> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if self.allows(address) {
            Ok(())
        } else {
            Err(Forbidden)
        }
    }
}

/// Looks names up for a client, and keeps back the addresses that it must not call.
pub(super) struct Resolver {
    pub(super) policy: AddressPolicy,
    pub(super) lookup: Lookup,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, lookup) = (self.policy.clone(), self.lookup.clone());
        Box::pin(async move {
            let found = lookup.addresses(name.as_str()).await?;
            let allowed: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| policy.allows(address.ip()))
                .collect();
            if allowed.is_empty() && !found.is_empty() {
                return Err(Box::new(Forbidden) as Box<dyn Error + Send + Sync>);
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

impl Lookup {
    /// The name's addresses; their port 0 stands for the one of the URL.
    async fn addresses(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System => Ok(tokio::net::lookup_host((name, 0)).await?.collect()),
            Self::Given(answers) => Ok(answers(name)
                .into_iter()
                .map(|ip| SocketAddr::new(ip, 0))
                .collect()),
        }
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Given(_) => "Given",
        })
    }
}

impl Forbidden {
    /// Finds the refusal among the causes of a failed call.
    pub(super) fn cause_of(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(forbidden) = error.downcast_ref::<Self>() {
                return Some(*forbidden);
            }
            cause = error.source();
        }
        None
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Outside of the special-purpose ranges of RFC 6890 and its registry, for which the standard library has no stable test.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && (64..128).contains(&b);
    let is_protocol_assignment = (a, b, c) == (192, 0, 0);
    let is_benchmarking = a == 198 && (18..20).contains(&b);
    let is_6to4_relay = (a, b, c) == (192, 88, 99);
    let is_reserved = a == 0 || a >= 240;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || is_shared
        || is_protocol_assignment
        || is_benchmarking
        || is_6to4_relay
        || is_reserved)
}

/// Only global unicast (`2000::/3`), without the parts that lead to IPv4 addresses or are for documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let is_global_unicast = a & 0xe000 == 0x2000;
    let is_teredo_or_protocol_assignment = a == 0x2001 && b < 0x0200;
    let is_documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    let is_6to4 = a == 0x2002;
    is_global_unicast && !is_teredo_or_protocol_assignment && !is_documentation && !is_6to4
}

impl Network {
    /// Whether the address is in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let ignored_bits = 32 - self.prefix_bits;
                u32::from(network).checked_shr(ignored_bits) == u32::from(address).checked_shr(ignored_bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let ignored_bits = 128 - self.prefix_bits;
                u128::from(network).checked_shr(ignored_bits) == u128::from(address).checked_shr(ignored_bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let parse = || {
            let (address, prefix_bits) = text.split_once('/')?;
            let (address, prefix_bits) = (address.parse().ok()?, prefix_bits.parse().ok()?);
            let longest = match address {
                IpAddr::V4(_) => 32,
                IpAddr::V6(_) => 128,
            };
            (prefix_bits <= longest).then_some(Self { address, prefix_bits })
        };
        parse().ok_or_else(|| NetworkError(text.to_owned()))
    }
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(networks: &[&str]) -> AddressPolicy {
        AddressPolicy::PublicOr(networks.iter().map(|network| network.parse().unwrap()).collect())
    }

    #[test]
    fn our_own_networks_are_not_public() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
        ] {
            assert!(
                !policy(&[]).allows(address.parse().unwrap()),
                "{address} was taken for public"
            );
        }
    }

    #[test]
    fn public_addresses_are_public() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
        ] {
            assert!(policy(&[]).allows(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn listed_networks_are_allowed_and_their_neighbours_are_not() {
        let policy = policy(&["127.0.0.0/8", "10.20.0.0/16", "fd00::/8", "192.168.0.7/32"]);
        for (address, allowed) in [
            ("127.9.9.9", true),
            ("::ffff:127.0.0.1", true),
            ("10.20.255.1", true),
            ("10.21.0.1", false),
            ("fd12::1", true),
            ("fc12::1", false),
            ("192.168.0.7", true),
            ("192.168.0.8", false),
        ] {
            assert_eq!(policy.allows(address.parse().unwrap()), allowed, "{address}");
        }
    }

    #[test]
    fn a_network_of_length_zero_holds_its_family() {
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("10.0.0.1".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "127.0.0.1",
            "127.0.0.0/33",
            "::/129",
            "127.0.0.0/-1",
            "localhost/8",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
