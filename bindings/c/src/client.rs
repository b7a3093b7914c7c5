//! Clients.

use std::ffi::c_char;
use std::sync::Arc;

use engine::client::{Client, Endpoint, Session, Trust};

use crate::error::{gpve_error, gpve_status};
use crate::job::gpve_job;
use crate::machines::gpve_machines;
use crate::raw::{self, Caller, Object};
use crate::runtime::Runtime;
use crate::watch::gpve_watch;

/// A client of a server, or of a node in this process. What is made of it keeps what it needs: handles are freed in any order.
pub struct gpve_client {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) client: Client,
}

impl Object for gpve_client {
    const MARK: u64 = u64::from_be_bytes(*b"gpve:cli");
    const NAME: &'static str = "client";
}

/// Makes a client of the server at `url` ("https://host:8006"). `token` is an API token, "user@realm!name=secret"; NULL: nobody yet.
/// `ca_pem` is the authority to trust, as PEM text; NULL: those that the system trusts. Nothing is sent yet. Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_client_new(
    url: *const c_char,
    token: *const c_char,
    ca_pem: *const c_char,
    client: *mut *mut gpve_client,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_client_new", error) };
    c.run(|| {
        let out = c.pointer(client, "client")?;
        let mut endpoint = Endpoint::new(c.text(url, "url")?)?;
        if let Some(pem) = c.text_or_none(ca_pem, "ca_pem")? {
            endpoint = endpoint.trust(Trust::Authority(pem.into()));
        }
        let mut client = Client::connect(endpoint)?;
        if let Some(token) = c.text_or_none(token, "token")? {
            client = client.with_session(Session::Token(token.into()))?;
        }
        out.hand_over(gpve_client { runtime: Runtime::start()?, client });
        Ok(())
    })
}

/// Logs in with a password; what was made of the client uses the session, too. Blocks for one exchange with the server. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_client_login(
    client: *const gpve_client,
    user: *const c_char,
    password: *const c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_client_login", error) };
    c.run(|| {
        let client = c.object(client)?;
        let (user, password) = (c.text(user, "user")?, c.text(password, "password")?);
        client.runtime.wait(client.client.login(user, password.into()))?.map(drop)
    })
}

/// The virtual machines of a namespace ("default"). Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_client_machines(
    client: *const gpve_client,
    namespace_: *const c_char,
    machines: *mut *mut gpve_machines,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_client_machines", error) };
    c.run(|| {
        let out = c.pointer(machines, "machines")?;
        let client = c.object(client)?;
        let machines = client.client.virtual_machines(c.text(namespace_, "namespace_")?);
        out.hand_over(gpve_machines { runtime: Arc::clone(&client.runtime), machines });
        Ok(())
    })
}

/// Machines of all namespaces by number, as gpve_machines_list gives those of one. Free `list` with gpve_string_free. Blocks for some
/// exchanges. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_client_list(
    client: *const gpve_client,
    selector: *const c_char,
    list: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_client_list", error) };
    c.run(|| {
        let out = c.pointer(list, "list")?;
        let client = c.object(client)?;
        out.json(&client.runtime.wait(client.client.list(None, c.text_or_none(selector, "selector")?))??)
    })
}

/// Changes of machines of all namespaces, as gpve_machines_watch gives those of one. Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_client_watch(
    client: *const gpve_client,
    selector: *const c_char,
    resource_version: *const c_char,
    watch: *mut *mut gpve_watch,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_client_watch", error) };
    c.run(|| {
        let out = c.pointer(watch, "watch")?;
        let client = c.object(client)?;
        let selector = c.text_or_none(selector, "selector")?;
        let watch = client.client.watch(None, selector, c.text(resource_version, "resource_version")?);
        out.hand_over(gpve_watch::new(&client.runtime, watch));
        Ok(())
    })
}

/// The task of that id, which an earlier gpve_job_id gave: to wait for it again, in another process too. Nothing is asked yet. Does not
/// block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_client_job(
    client: *const gpve_client,
    id: *const c_char,
    job: *mut *mut gpve_job,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_client_job", error) };
    c.run(|| {
        let out = c.pointer(job, "job")?;
        let client = c.object(client)?;
        out.hand_over(gpve_job::new(&client.runtime, client.client.job(c.text(id, "id")?)));
        Ok(())
    })
}

/// Frees a client; nothing for NULL. GPVE_STATUS_INVALID_INPUT for what can be seen to be no client. Any thread, while no other uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_client_free(client: *mut gpve_client) -> gpve_status {
    // SAFETY: the header says what the pointer must be.
    unsafe { raw::free("gpve_client_free", client) }
}
