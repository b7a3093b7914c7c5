//! Watching machines.

use std::cell::Cell;
use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use engine::client::GuestWatch;
use engine::v1::{VmObject, WatchEvent};
use engine::{Error, ErrorKind, Result};
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::error::{Told, gpve_error, gpve_status};
use crate::raw::{self, Caller, Object, UserData};
use crate::runtime::{Runtime, within};

thread_local! {
    /// The watch whose events this thread tells.
    static TELLS: Cell<*const Shared> = const { Cell::new(std::ptr::null()) };
}

/// A stream of changes that reconnects by itself and misses nothing.
pub struct gpve_watch {
    shared: Arc<Shared>,
    /// The thread that tells events, once it was started.
    teller: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    runtime: Arc<Runtime>,
    watch: AsyncMutex<GuestWatch>,
    stopped: watch::Sender<bool>,
}

impl Object for gpve_watch {
    const MARK: u64 = u64::from_be_bytes(*b"gpve:wat");
    const NAME: &'static str = "watch";
}

impl Shared {
    fn next(&self, timeout_ms: u64) -> Result<WatchEvent<VmObject>> {
        let mut stopped = self.stopped.subscribe();
        self.runtime.wait(async {
            let next = async { self.watch.lock().await.next().await };
            tokio::select! {
                biased;
                // The sender lives as long as we do.
                _ = stopped.wait_for(|stopped| *stopped) => Err(Error::new(ErrorKind::Cancelled, "watch.next", "the watch was stopped")),
                event = within(timeout_ms, "watch.next", next) => event,
            }
        })?
    }
}

impl gpve_watch {
    pub(crate) fn new(runtime: &Arc<Runtime>, watch: GuestWatch) -> Self {
        let shared = Shared { runtime: Arc::clone(runtime), watch: AsyncMutex::new(watch), stopped: watch::Sender::new(false) };
        Self { shared: Arc::new(shared), teller: Mutex::default() }
    }

    fn teller(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.teller.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, tell: impl FnMut(Result<WatchEvent<VmObject>>) + Send + 'static) -> Result<()> {
        let mut teller = self.teller();
        if teller.is_some() {
            return Err(Error::precondition("gpve_watch_start", "it was started before"));
        }
        let (shared, mut tell) = (Arc::clone(&self.shared), tell);
        let work = move || {
            TELLS.set(Arc::as_ptr(&shared));
            loop {
                let next = shared.next(0);
                let is_end = next.is_err();
                tell(next);
                if is_end {
                    return;
                }
            }
        };
        let started = std::thread::Builder::new().name("gpve-watch".to_owned()).spawn(work);
        *teller = Some(started.map_err(|e| Error::new(ErrorKind::ResourceExhausted, "gpve_watch_start", format!("no thread: {e}")))?);
        Ok(())
    }
}

impl Drop for gpve_watch {
    fn drop(&mut self) {
        self.shared.stopped.send_replace(true);
        let teller = self.teller().take();
        // A function that frees its own watch cannot wait for its own end.
        if let Some(teller) = teller.filter(|_| TELLS.get() != Arc::as_ptr(&self.shared)) {
            let _ended = teller.join();
        }
    }
}

/// Is told a change: `event` is JSON, {"type": "ADDED" | "MODIFIED" | "DELETED", "resourceVersion": "…", "object": {…}}. The text belongs to
/// the library and ends with the call. Called on the watch's own thread, one event at a time. It may call any function, and may free the
/// watch; it may not throw or jump out.
pub type gpve_watch_event = Option<unsafe extern "C" fn(event: *const c_char, user_data: *mut c_void)>;

/// Is told once, at last, why a watch has ended: GPVE_STATUS_CANCELLED when it was stopped or freed. The error belongs to the library and
/// ends with the call. Called as gpve_watch_event.
pub type gpve_watch_ended = Option<unsafe extern "C" fn(error: *const gpve_error, user_data: *mut c_void)>;

/// Blocks until there is a change, or `timeout_ms` milliseconds have passed (0: for ever): GPVE_STATUS_TIMEOUT, and nothing is missed.
/// `event` gets it as gpve_watch_event does; free it with gpve_string_free. GPVE_STATUS_CONFLICT when the history in between is gone: list
/// again and watch from there. Any thread; of several, each gets events of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_watch_next(
    watch: *const gpve_watch,
    timeout_ms: u64,
    event: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_watch_next", error) };
    c.run(|| {
        let out = c.pointer(event, "event")?;
        let watch = c.object(watch)?;
        if watch.teller().is_some() {
            return Err(Error::precondition("gpve_watch_next", "gpve_watch_start was called: events go to its function"));
        }
        out.json(&watch.shared.next(timeout_ms)?)
    })
}

/// Tells every change to `on_event`, from a thread that it starts, until the watch ends, is stopped or freed, which `on_end`, unless NULL,
/// is told. Both get `user_data`, which must stay until the end was told or gpve_watch_free has returned on another thread. Once per
/// watch. Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_watch_start(
    watch: *const gpve_watch,
    on_event: gpve_watch_event,
    on_end: gpve_watch_ended,
    user_data: *mut c_void,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_watch_start", error) };
    c.run(|| {
        let watch = c.object(watch)?;
        let on_event = on_event.ok_or_else(|| c.refuse("on_event", "is NULL"))?;
        let user_data = UserData(user_data);
        watch.start(move |next| {
            // All of it goes to the thread, not its pointer alone.
            let user_data = user_data;
            match next.and_then(|event| serde_json::to_string(&event).map_err(|e| Error::internal("json", e.to_string()))) {
                Ok(event) => {
                    let text = raw::c_text(event);
                    // SAFETY: the header says what the function must be; the text ends after the call.
                    unsafe { on_event(text.as_ptr(), user_data.0) };
                }
                Err(e) => {
                    let told = Told::of(&e);
                    if let Some(on_end) = on_end {
                        // SAFETY: as above.
                        unsafe { on_end(told.shown(), user_data.0) };
                    }
                }
            }
        })
    })
}

/// Where to resume after the last event: a resource version for gpve_machines_watch. Free it with gpve_string_free. Blocks while another
/// thread waits in gpve_watch_next. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_watch_position(
    watch: *const gpve_watch,
    position: *mut *mut c_char,
    error: *mut *mut gpve_error,
) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_watch_position", error) };
    c.run(|| {
        let out = c.pointer(position, "position")?;
        let shared = &c.object(watch)?.shared;
        out.text(shared.runtime.wait(async { shared.watch.lock().await.position().to_owned() })?);
        Ok(())
    })
}

/// Ends every wait for an event of it, now and later, with GPVE_STATUS_CANCELLED. Does not block. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_watch_stop(watch: *const gpve_watch, error: *mut *mut gpve_error) -> gpve_status {
    // SAFETY: the header says what each pointer must be.
    let c = unsafe { Caller::new("gpve_watch_stop", error) };
    c.run(|| {
        c.object(watch)?.shared.stopped.send_replace(true);
        Ok(())
    })
}

/// Stops a watch and frees it; nothing for NULL. Blocks until a function that is being told an event has returned, unless it is that
/// function which calls. GPVE_STATUS_INVALID_INPUT for what can be seen to be no watch. Any thread, while no other uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gpve_watch_free(watch: *mut gpve_watch) -> gpve_status {
    // SAFETY: the header says what the pointer must be.
    unsafe { raw::free("gpve_watch_free", watch) }
}
