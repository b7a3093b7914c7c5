//! Manual pages, completions and the reference of the command line, all made from what clap parses.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use gpve_core::error::{Error, ErrorKind, Result};

use super::Program;

/// Section of the manual for programs of an administrator.
const ADMINISTRATION: &str = "8";
/// Section of the manual for everybody's programs.
const USERS: &str = "1";

/// The programs under the names that people call them by, each with its section of the manual.
fn programs() -> Vec<(Command, &'static str)> {
    // Not built yet: what clap builds keeps the names that it was built under.
    let of_server = Program::command();
    let part = |word: &str, name: &'static str| {
        let part = of_server.find_subcommand(word).cloned().unwrap_or_default();
        named(part, name)
    };
    vec![
        (part("server", "gpve-server"), ADMINISTRATION),
        (part("agent", "gpve-agent"), ADMINISTRATION),
        (named(crate::ctl::command(), "gpvectl"), USERS),
    ]
}

/// The command as if it were a program of this name, all its parts built.
fn named(command: Command, name: &'static str) -> Command {
    let mut command = command.name(name).bin_name(name).display_name(name).version(env!("CARGO_PKG_VERSION")).propagate_version(true);
    for part in command.clone().get_subcommands() {
        let part = part.get_name().to_owned();
        let whole = format!("{name} {part}");
        // Names that clap made while this was a part of another program.
        command = command.mut_subcommand(part, |c| rename(c, &whole));
    }
    command.build();
    command
}

fn rename(mut command: Command, whole: &str) -> Command {
    command = command.bin_name(whole).display_name(whole.replace(' ', "-"));
    for part in command.clone().get_subcommands() {
        let part = part.get_name().to_owned();
        let whole = format!("{whole} {part}");
        command = command.mut_subcommand(part, |c| rename(c, &whole));
    }
    command
}

/// Writes `man/manN/*.N` and `completions/{bash,zsh,fish}/*` below the directory.
///
/// # Errors
/// [`ErrorKind::Unavailable`] with the path that could not be written.
pub(super) fn write(directory: &Path) -> Result<()> {
    for (mut program, section) in programs() {
        write_pages(&program, section, &directory.join(format!("man/man{section}")))?;
        let name = program.get_name().to_owned();
        for (shell, file) in [(Shell::Bash, name.clone()), (Shell::Zsh, format!("_{name}")), (Shell::Fish, format!("{name}.fish"))] {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut program, &name, &mut text);
            put(&directory.join(format!("completions/{shell}")), &file, &text)?;
        }
    }
    Ok(())
}

/// A page for the command and one for each of its parts.
fn write_pages(command: &Command, section: &str, directory: &Path) -> Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.clone()).title(name.to_uppercase()).section(section).manual("gpve");
    page.render(&mut text).map_err(|e| Error::internal("manual", e.to_string()))?;
    put(directory, &format!("{name}.{section}"), &text)?;
    command.get_subcommands().filter(|part| is_shown(part)).try_for_each(|part| write_pages(part, section, directory))
}

fn put(directory: &Path, name: &str, text: &[u8]) -> Result<()> {
    let path = directory.join(name);
    let written = std::fs::create_dir_all(directory).and_then(|()| std::fs::write(&path, text));
    written.map_err(|e| Error::new(ErrorKind::Unavailable, "manual", format!("{}: {e}", path.display())))
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

/// The reference of all three programs as Markdown.
pub fn reference() -> String {
    let mut out = "# Command line\n\nMade from the programs themselves; `gpvectl COMMAND --help` says the same.\n".to_owned();
    for (program, _) in programs() {
        describe(&mut out, &program, 2);
    }
    out
}

fn describe(out: &mut String, command: &Command, level: usize) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    // Writing to a String cannot fail.
    let _ = write!(out, "\n{} {name}\n\n{about}\n\n    {usage}\n", "#".repeat(level.min(4)));
    // An option of the whole program is told once, where the program is.
    let own =
        |arg: &&Arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version") && (level == 2 || !arg.is_global_set());
    let arguments: Vec<&Arg> = command.get_arguments().filter(own).collect();
    if !arguments.is_empty() {
        out.push_str("\n| | | unless given |\n| --- | --- | --- |\n");
    }
    for argument in arguments {
        let _ = writeln!(out, "| `{}` | {} | {} |", signature(argument), meaning(argument), unless_given(argument));
    }
    for part in command.get_subcommands().filter(|part| is_shown(part)) {
        describe(out, part, level + 1);
    }
}

fn signature(argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default();
    if argument.is_positional() {
        return value;
    }
    let short = argument.get_short().map(|c| format!("-{c}"));
    let long = argument.get_long().map(|word| format!("--{word}"));
    let names = short.into_iter().chain(long).collect::<Vec<_>>().join(", ");
    if argument.get_action().takes_values() { format!("{names} {value}") } else { names }
}

fn meaning(argument: &Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let values = argument.get_possible_values();
    if argument.get_action().takes_values() && !values.is_empty() {
        let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
        let _ = write!(text, ". One of `{}`", names.join("`, `"));
    }
    text.replace('|', "\\|")
}

fn unless_given(argument: &Arg) -> String {
    let values = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(", ");
    let default = (argument.get_action().takes_values() && !values.is_empty()).then(|| format!("`{values}`"));
    let variable = argument.get_env().map(|name| format!("`${}`", name.to_string_lossy()));
    variable.into_iter().chain(default).collect::<Vec<_>>().join(", else ")
}
