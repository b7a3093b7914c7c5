//! A command line as a list of switches.

use std::fmt;

/// One switch of QEMU and its operand.
pub trait Switch {
    /// The flag, such as `-device`.
    const FLAG: &'static str;

    /// What follows the flag as one argument; `None` for a flag that stands alone.
    fn operand(&self) -> Option<String>;
}

/// Declares switches that take properties, which their `options` say.
macro_rules! options {
    ($($name:ident = $flag:literal;)*) => {$(
        impl Switch for $name {
            const FLAG: &'static str = $flag;
            fn operand(&self) -> Option<String> {
                Some(self.options().to_string())
            }
        }
    )*};
}
pub(super) use options;

/// A value that cannot be an argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: the value holds a NUL byte or a line break")]
pub struct BadOperand {
    /// The switch.
    pub flag: &'static str,
}

/// Arguments of QEMU without the program's name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    arguments: Vec<String>,
    fault: Option<BadOperand>,
}

impl CommandLine {
    /// No arguments.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a switch. QEMU always takes the operand from the next argument, so one that begins with `-` is no flag.
    pub fn push<S: Switch>(&mut self, switch: &S) {
        self.arguments.push(S::FLAG.to_owned());
        if let Some(operand) = switch.operand() {
            if operand.contains(['\0', '\n', '\r']) {
                self.fault.get_or_insert(BadOperand { flag: S::FLAG });
            }
            self.arguments.push(operand);
        }
    }

    /// Adds switches.
    pub fn extend<'a, S: Switch + 'a>(&mut self, switches: impl IntoIterator<Item = &'a S>) {
        for switch in switches {
            self.push(switch);
        }
    }

    /// Adds an argument as the administrator wrote it.
    pub fn push_raw(&mut self, argument: &str) {
        if argument.contains(['\0', '\n', '\r']) {
            self.fault.get_or_insert(BadOperand { flag: "args" });
        }
        self.arguments.push(argument.to_owned());
    }

    /// Adds the switches of another line.
    pub fn append(&mut self, other: Self) {
        self.arguments.extend(other.arguments);
        self.fault = self.fault.take().or(other.fault);
    }

    /// The arguments.
    ///
    /// # Errors
    /// The first operand that cannot be an argument.
    pub fn into_arguments(self) -> Result<Vec<String>, BadOperand> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.arguments),
        }
    }
}

impl fmt::Display for CommandLine {
    /// One argument a line, as golden files hold them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.arguments.iter().try_for_each(|argument| writeln!(f, "{argument}"))
    }
}
