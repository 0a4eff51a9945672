//! Identifiers: a `UUIDv7` in the database, [TypeID](https://github.com/jetify-com/typeid) text everywhere else.
//!
//! One newtype per thing, so that a refund's number cannot be passed where a payment's is expected. The text form names
//! its kind (`pay_01h455vb4pex5vsknk084sn02q`), sorts by creation time and is what JSON, topics, keys and logs show.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use type_safe_id::{DynamicType, TypeSafeId};
use uuid::Uuid;

/// A text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an identifier of the form {expected}_<26 characters>, got {got:?}")]
pub struct IdError {
    expected: &'static str,
    /// What came, cut to 64 characters so that a log line stays bounded.
    got: String,
}

fn parse(prefix: &'static str, text: &str) -> Result<Uuid, IdError> {
    let error = || IdError {
        expected: prefix,
        got: text.chars().take(64).collect(),
    };
    let id: TypeSafeId<DynamicType> = text.parse().map_err(|_| error())?;
    if id.type_prefix() == prefix {
        Ok(id.uuid())
    } else {
        Err(error())
    }
}

fn format(prefix: &'static str, uuid: Uuid, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let kind = DynamicType::new(prefix).map_err(|_| fmt::Error)?;
    write!(f, "{}", TypeSafeId::from_type_and_uuid(kind, uuid))
}

macro_rules! typeid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
        #[sqlx(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// What the text form starts with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new identifier (`UUIDv7`: later ones sort behind earlier ones of the same process).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// The identifier with this UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID, as the database stores it.
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                format(Self::PREFIX, self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse(Self::PREFIX, text).map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

typeid!(
    /// A payment: the aggregate behind `payments.payment.v1`, and that topic's key.
    PaymentNo, "pay"
);
typeid!(
    /// A refund of one payment.
    RefundNo, "ref"
);
typeid!(
    /// A settlement: the aggregate behind `settlements.settlement.v1`.
    SettlementNo, "stl"
);
typeid!(
    /// A withdrawal (payout to a merchant's bank): the aggregate behind `settlements.withdrawal.v1`.
    WithdrawalNo, "wdr"
);
typeid!(
    /// A notification to one recipient over one channel.
    NotificationNo, "ntf"
);
typeid!(
    /// A merchant, and so a tenant.
    MerchantId, "mer"
);
typeid!(
    /// A merchant's customer, without anything that tells who that is.
    CustomerRef, "cus"
);
typeid!(
    /// A merchant's API key, the public half.
    ApiKeyId, "key"
);

/// An event. Plain UUID text, because `CloudEvents` and Avro's `uuid` both want it so.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type)]
#[sqlx(transparent)]
pub struct EventId(Uuid);

impl EventId {
    /// A new identifier (`UUIDv7`).
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The identifier with this UUID.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID, as the database stores it.
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let no = PaymentNo::generate();
        assert!(no.to_string().starts_with("pay_"));
        assert_eq!(no.to_string().parse::<PaymentNo>(), Ok(no));
        assert_eq!(
            serde_json::from_str::<PaymentNo>(&serde_json::to_string(&no).unwrap()).unwrap(),
            no
        );
    }

    #[test]
    fn the_text_form_is_the_one_of_the_typeid_specification() {
        let uuid: Uuid = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
        assert_eq!(
            PaymentNo::from_uuid(uuid).to_string(),
            "pay_01h455vb4pex5vsknk084sn02q"
        );
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let error = RefundNo::generate().to_string().parse::<PaymentNo>().unwrap_err();
        assert!(error.to_string().contains("pay_<26 characters>"), "{error}");
        assert!("".parse::<PaymentNo>().is_err());
        assert!("pay_".parse::<PaymentNo>().is_err());
        assert!("01h455vb4pex5vsknk084sn02q".parse::<PaymentNo>().is_err());
    }

    #[test]
    fn later_ids_sort_behind_earlier_ones() {
        let first = PaymentNo::generate();
        let second = PaymentNo::generate();
        assert!(first < second && first.to_string() < second.to_string());
    }
}
