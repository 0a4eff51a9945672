//! What the fuzz targets start from, and what they have found: every law holds for every file in their corpus.

use std::path::Path;

use eventing::laws;

#[test]
fn the_laws_of_headers_hold_for_the_corpus() {
    each("headers", laws::headers);
}

#[test]
fn the_laws_of_framing_hold_for_the_corpus() {
    each("framing", laws::framing);
}

#[test]
fn the_laws_of_events_hold_for_the_corpus() {
    each("events", laws::event);
}

fn each(target: &str, law: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let files = std::fs::read_dir(&folder).unwrap();
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        // The last one shown is the one that broke the law.
        println!("{}", path.display());
        law(&std::fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 9, "{} has {count} files: it is gone", folder.display());
}
