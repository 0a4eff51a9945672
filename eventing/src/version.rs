//! Which build this is.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::sync::OnceLock;

/// Where the linker puts its note: within the first pages of the file.
const NOTES_WITHIN_BYTES: u64 = 64 * 1024;

/// The beginning of an ELF note of the type "build id": name of 4 bytes, id of 20 bytes, type 3, "GNU".
const BUILD_ID_NOTE: [u8; 16] = *b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";

/// Enough of a build id to tell builds apart.
const SHOWN_BYTES: usize = 6;

/// The version of this binary, with the linker's build id, which differs whenever the code does: `0.1.0+07ed5c1d1902`.
pub(crate) fn of_this_binary() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| match build_id() {
        Some(id) => format!("{}+{id}", env!("CARGO_PKG_VERSION")),
        None => env!("CARGO_PKG_VERSION").to_owned(),
    })
}

fn build_id() -> Option<String> {
    let binary = File::open(std::env::current_exe().ok()?).ok()?;
    let mut head = Vec::new();
    binary.take(NOTES_WITHIN_BYTES).read_to_end(&mut head).ok()?;
    find_build_id(&head)
}

fn find_build_id(head: &[u8]) -> Option<String> {
    let at = head
        .windows(BUILD_ID_NOTE.len())
        .position(|bytes| bytes == BUILD_ID_NOTE)?;
    let from = at + BUILD_ID_NOTE.len();
    let id = head.get(from..from + SHOWN_BYTES)?;
    Some(hex(id.iter()))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    bytes.fold(String::new(), |mut text, byte| {
        // A string takes all that is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_id_is_read_from_its_note() {
        let mut head = vec![7; 100];
        assert_eq!(find_build_id(&head), None);
        head.extend(BUILD_ID_NOTE);
        assert_eq!(find_build_id(&head), None);
        head.extend([0xab, 1, 2, 3, 4, 0xff, 9, 9]);
        assert_eq!(find_build_id(&head).as_deref(), Some("ab01020304ff"));
    }
}
