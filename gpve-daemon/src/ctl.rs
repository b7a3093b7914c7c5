//! `gpvectl`: the command line of users. Everything goes over the API; nothing here touches a host.

mod args;
mod console;
mod create;
mod exit;
mod import;
mod manifest;
mod output;
mod session;
mod task;
mod vm;
mod vnc;
mod volume;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use gpve_api::client::{Client, Request};
use gpve_api::routes::Operation;
use gpve_core::error::{Error, ErrorKind, Result};
use serde_json::Value as Json;

use args::{Command, Ctl};
use output::Output;

/// One run of the program: a server, a namespace, a form of output.
struct Ctx {
    client: Client,
    namespace: String,
    output: Output,
    /// Return when a task is accepted, not when it has ended.
    no_wait: bool,
}

/// The command line as clap has it.
pub(crate) fn command() -> clap::Command {
    Ctl::command()
}

/// Runs `gpvectl` with these arguments, the program's name first.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let parsed = match Ctl::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(e) => {
            // Help and version are answers, not errors.
            let status = if e.use_stderr() { 2 } else { 0 };
            let _closed_output = e.print();
            return ExitCode::from(status);
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return exit::show(&Error::internal("gpvectl", e.to_string())),
    };
    match runtime.block_on(run(parsed)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => exit::show(&e),
    }
}

async fn run(ctl: Ctl) -> Result<()> {
    let Ctl { connection, namespace, output, no_wait, command } = ctl;
    match command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Ctl::command(), "gpvectl", &mut std::io::stdout());
            Ok(())
        }
        Command::Login(login) => session::login(&connection, login).await,
        Command::Logout => session::logout(),
        Command::Version if !session::is_known(&connection) => {
            println!("gpvectl {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        command => {
            let cx = Ctx { client: session::connect(&connection)?, namespace, output: Output::new(output), no_wait };
            cx.run(command).await
        }
    }
}

impl Ctx {
    async fn run(&self, command: Command) -> Result<()> {
        match command {
            Command::Vm { command } => vm::run(self, command).await,
            Command::Volume { command } => volume::run(self, command).await,
            Command::Apply { file, manager, force, dry_run } => manifest::apply(self, &file, &manager, force, dry_run).await,
            Command::Get { kind, name, watch } => manifest::get(self, &kind, name.as_deref(), watch).await,
            Command::Delete { file, force } => manifest::delete(self, &file, force).await,
            Command::Import { command } => import::run(self, command).await,
            Command::Task { command } => task::run(self, command).await,
            Command::Version => self.version().await,
            Command::Login(_) | Command::Logout | Command::Completions { .. } => {
                Err(Error::internal("gpvectl", "this command needs no server"))
            }
        }
    }

    async fn version(&self) -> Result<()> {
        let server = self.client.send(Request::to(Operation::Version)).await?;
        println!("gpvectl {}", env!("CARGO_PKG_VERSION"));
        println!("server  API of Proxmox VE {}", text(&server, "/version"));
        Ok(())
    }

    /// A request about one guest of the namespace.
    fn of(&self, operation: Operation, name: &str) -> Request {
        Request::to(operation).path("namespace", &self.namespace).path("name", name)
    }

    /// Sends a request that a task carries out, and follows the task.
    async fn carry_out(&self, request: Request, done: &str) -> Result<()> {
        let answer = self.client.send(request.idempotent(uuid::Uuid::new_v4().to_string())).await?;
        if answer.get("steps").is_some() {
            return self.output.document(&answer);
        }
        match answer.get("id").and_then(Json::as_str) {
            Some(id) => self.follow(id, done).await,
            None => {
                self.output.note(&format!("{done} (nothing was to do)"));
                Ok(())
            }
        }
    }

    /// Shows a task's progress until it ends; its failure is ours.
    async fn follow(&self, id: &str, done: &str) -> Result<()> {
        if self.no_wait {
            println!("{id}");
            return Ok(());
        }
        let task = self.client.wait_task(id, |progress| self.output.progress(&progress)).await.map_err(|e| {
            let hint = format!("{}; see: gpvectl task log {id}", e.message);
            Error { message: hint, ..e }
        })?;
        self.output.note(&match task.warnings {
            0 => done.to_owned(),
            n => format!("{done}, with {n} warnings: gpvectl task log {id}"),
        });
        Ok(())
    }
}

/// A text of an answer by JSON pointer; empty when it is not there.
fn text<'j>(answer: &'j Json, pointer: &str) -> &'j str {
    answer.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

/// A document with those of the fields that were given.
fn given<const N: usize>(mut document: Json, fields: [(&str, Option<Json>); N]) -> Json {
    for (field, value) in fields.into_iter().filter_map(|(field, value)| Some((field, value?))) {
        document[field] = value;
    }
    document
}

fn input(field: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidInput, "gpvectl", format!("{field}: {why}"))
}
