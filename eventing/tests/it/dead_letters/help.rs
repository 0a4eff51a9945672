use std::fmt::Write as _;

use clap::CommandFactory as _;

use super::Cli;

/// What an operator reads first.
#[test]
fn the_help_texts_are_as_they_were_looked_at() {
    let mut command = Cli::command().name("dead-letters").bin_name("dead-letters");
    command.build();
    let names: Vec<String> = command
        .get_subcommands()
        .map(|one| one.get_name().to_owned())
        .collect();
    let mut texts = command.render_long_help().to_string();
    for name in names.iter().filter(|name| *name != "help") {
        let help = command.find_subcommand_mut(name).unwrap().render_long_help();
        write!(texts, "\n=== {name}\n{help}").unwrap();
    }
    // The operator's name comes from the environment of whoever runs this.
    let user = std::env::var("USER").unwrap_or_default();
    insta::assert_snapshot!(texts.replace(&format!("[env: USER={user}]"), "[env: USER=]"));
}
