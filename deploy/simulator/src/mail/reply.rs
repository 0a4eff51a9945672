//! SMTP replies, as they go over the wire.

pub(super) const GREETING: &str = "220 simulator ESMTP ready\r\n";
pub(super) const HELO: &str = "250 simulator\r\n";
pub(super) const OK: &str = "250 2.0.0 ok\r\n";
pub(super) const KEPT: &str = "250 2.0.0 message kept\r\n";
pub(super) const GO_AHEAD: &str = "354 end the message with a dot on a line of its own\r\n";
pub(super) const BYE: &str = "221 2.0.0 bye\r\n";
pub(super) const REJECTED: &str = "550 5.1.1 the mailbox refuses mail, as it was told to\r\n";
pub(super) const DEFERRED: &str = "451 4.3.0 the mailbox is busy, as it was told to be; try again\r\n";
pub(super) const TOO_LARGE: &str = "552 5.3.4 the message is larger than 1 MiB\r\n";
pub(super) const TOO_MANY_RECIPIENTS: &str = "452 4.5.3 too many recipients\r\n";
pub(super) const LINE_TOO_LONG: &str = "500 5.5.6 the line is too long\r\n";
pub(super) const BAD_SEQUENCE: &str = "503 5.5.1 this command is out of sequence\r\n";
pub(super) const BAD_ADDRESS: &str = "501 5.1.7 expected an address in angle brackets\r\n";
pub(super) const UNKNOWN: &str = "502 5.5.2 this command is not offered\r\n";
