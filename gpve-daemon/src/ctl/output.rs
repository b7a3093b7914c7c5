//! Tables for people, JSON and YAML for programs. Progress and notes go to standard error.

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use gpve_api::client::Progress;
use gpve_core::error::{Error, Result};
use serde::Serialize;

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// A table.
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    form: Form,
}

impl Output {
    pub(super) fn new(form: Form) -> Self {
        Self { form }
    }

    /// A result: rows of a table, or the document itself.
    pub(super) fn rows(&self, document: &impl Serialize, head: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
        if self.form != Form::Table {
            return self.document(document);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(head.iter().map(|h| h.to_uppercase()));
        for row in rows {
            table.add_row(row);
        }
        println!("{table}");
        Ok(())
    }

    /// Whether a program reads the output.
    pub(super) fn is_for_programs(&self) -> bool {
        self.form != Form::Table
    }

    /// One document; as YAML where a table makes no sense.
    pub(super) fn document(&self, document: &impl Serialize) -> Result<()> {
        let failed = |e: &dyn std::fmt::Display| Error::internal("gpvectl.output", e.to_string());
        let text = match self.form {
            Form::Json => serde_json::to_string_pretty(document).map_err(|e| failed(&e))?,
            Form::Yaml | Form::Table => serde_saphyr::to_string(document).map_err(|e| failed(&e))?,
        };
        println!("{}", text.trim_end());
        Ok(())
    }

    /// A text that is the result: as it is for people.
    pub(super) fn text(&self, text: &str) -> Result<()> {
        if self.is_for_programs() {
            return self.document(&text);
        }
        print!("{text}");
        Ok(())
    }

    /// Something that a person wants to know and a program does not.
    pub(super) fn note(&self, text: &str) {
        if self.form == Form::Table {
            println!("{text}");
        } else {
            eprintln!("{text}");
        }
    }

    pub(super) fn progress(&self, progress: &Progress) {
        match progress {
            Progress::Line(line) => eprintln!("  {}", line.t),
            Progress::Step(task) => {
                if let Some(step) = &task.step {
                    eprintln!("{}: {step}", task.kind);
                }
            }
        }
    }
}
