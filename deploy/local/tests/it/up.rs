//! What `up` says when it cannot start, and what it leaves behind then: nothing.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};

use local::state::State;

/// A folder of this test's own, with a space in its name.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("local up {} {name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn up(state: &PathBuf, arguments: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_local"))
        .arg("up")
        .arg("--state")
        .arg(state)
        .args(arguments)
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    (output, error)
}

#[test]
fn a_taken_port_is_named_before_anything_starts() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let state = folder("port");
    let (output, error) = up(&state, &["--port", &format!("registry={port}")]);
    assert!(!output.status.success());
    assert!(
        error.contains(&format!("port {port}, for registry, is taken")),
        "{error}"
    );
    assert!(!state.join("postgres").exists() && !state.join("kafka").exists());
}

#[test]
fn a_second_platform_in_the_same_folder_is_refused_and_leaves_the_first_alone() {
    let path = folder("second");
    let state = State::at(&path).unwrap();
    let _first = state.lock().unwrap();
    for arguments in [&["--no-traffic"][..], &["--detach"]] {
        let (output, error) = up(&path, arguments);
        let said = error + &String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success());
        assert!(
            said.contains(&format!("already runs in {}", path.display())),
            "{said}"
        );
    }
    assert_eq!(state.holder(), Some(std::process::id()));
}

#[test]
fn an_unknown_service_or_port_is_refused_with_the_known_ones() {
    let (output, error) = up(&folder("words"), &["--replicas", "ledger=2"]);
    assert!(!output.status.success());
    assert!(error.contains("settlement"), "{error}");
    let (output, error) = up(&folder("words"), &["--port", "kafkaa=1"]);
    assert!(!output.status.success());
    assert!(error.contains("kafka-controller"), "{error}");
}

#[test]
fn the_port_of_a_third_broker_is_named_too_and_a_second_alone_is_refused() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let state = folder("brokers");
    let (output, error) = up(&state, &["--brokers", "3", "--port", &format!("kafka-3={port}")]);
    assert!(!output.status.success());
    assert!(
        error.contains(&format!("port {port}, for kafka-3, is taken")),
        "{error}"
    );
    let (output, error) = up(&state, &["--brokers", "2"]);
    assert!(!output.status.success());
    assert!(error.contains("expected 1 broker or 3, not 2"), "{error}");
}
