//! Documents between Rust and Python, through Python's own `json`.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use gpve::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde_json::Value;

use crate::errors::{Failure, raise};

/// A document as Python's dicts and lists.
pub(crate) fn to_python(py: Python<'_>, document: &impl serde::Serialize) -> PyResult<Py<PyAny>> {
    let text = serde_json::to_string(document).map_err(|e| raise(Error::internal("json", e.to_string())))?;
    Ok(py.import("json")?.call_method1("loads", (text,))?.unbind())
}

/// A document from dicts and lists; paths become text.
pub(crate) fn from_python(document: &Bound<'_, PyAny>) -> PyResult<Value> {
    let py = document.py();
    let options = PyDict::new(py);
    options.set_item("default", py.import("os")?.getattr("fspath")?)?;
    options.set_item("allow_nan", false)?;
    let text: String = py.import("json")?.call_method("dumps", (document,), Some(&options))?.extract()?;
    serde_json::from_str(&text).map_err(|e| raise(Error::field("json", "document", e.to_string())))
}

/// A name or another short text, read into its type.
pub(crate) fn parse<T: FromStr<Err: Display>>(field: &str, text: &str) -> PyResult<T> {
    text.parse().map_err(|e: T::Err| raise(Error::field("argument", field, e.to_string())))
}

/// Seconds as Python has them.
pub(crate) fn seconds(timeout_s: Option<f64>) -> PyResult<Option<Duration>> {
    let read = |s| Duration::try_from_secs_f64(s).map_err(|e| raise(Error::field("argument", "timeout_s", e.to_string())));
    timeout_s.map(read).transpose()
}

/// Waits no longer than `limit`.
pub(crate) async fn within<T>(
    op: &'static str,
    limit: Option<Duration>,
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(limit) = limit else { return future.await };
    let late = |_| Error::new(ErrorKind::Timeout, op, format!("did not happen within {} s", limit.as_secs_f64()));
    tokio::time::timeout(limit, future).await.map_err(late)?
}

/// What Python sees as dicts and lists.
pub(crate) struct Document<T>(pub(crate) T);

impl<'py, T: serde::Serialize> IntoPyObject<'py> for Document<T> {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        to_python(py, &self.0).map(|document| document.into_bound(py))
    }
}

/// A request's body from the arguments that were given.
pub(crate) fn request<T: serde::de::DeserializeOwned>(mut given: Value) -> PyResult<T> {
    if let Some(fields) = given.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    serde_json::from_value(given).map_err(|e| raise(Error::field("argument", "arguments", e.to_string())))
}
