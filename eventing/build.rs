//! Builds again when a migration is added: `sqlx::migrate!` embeds the folder and cannot watch it by itself.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
