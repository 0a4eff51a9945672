/// Dies here, without any cleaning up, when the environment variable `CRASH_AT` names this point.
///
/// Fault tests start a service with it to see that no step in which a process can die breaks a promise. Release builds
/// compile it to nothing.
#[cfg_attr(
    not(debug_assertions),
    expect(unused_variables, reason = "compiled to nothing in release builds")
)]
pub fn crash_point(name: &str) {
    #[cfg(debug_assertions)]
    {
        static CRASH_AT: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
        let crash_at = CRASH_AT.get_or_init(|| std::env::var("CRASH_AT").ok());
        if crash_at.as_deref() == Some(name) {
            eprintln!("crash point {name} reached");
            std::process::abort();
        }
    }
}
