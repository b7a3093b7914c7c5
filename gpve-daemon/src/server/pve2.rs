//! `/api2/json`: the steps of `gpve_api::pve2`, and one handler per operation of the route table.

mod access;
mod agent;
mod change;
mod cloud_init;
mod cluster;
mod console;
mod guest;
mod node;
mod power;
mod show;
mod snapshot;
mod storage;
mod task;

use std::net::SocketAddr;

use bytes::Bytes;
use gpve_api::pve2::request::{BodyKind, MAX_BODY_BYTES, decode};
use gpve_api::pve2::{Failure, Reply, answer::index_of, credentials};
use gpve_api::route::{Access, Body, Given, MAX_PARAMS, Matched, Params};
use gpve_api::routes::Operation as Op;
use gpve_auth::{Decision, Identity, Login};
use gpve_core::control::{Answer, Call};
use gpve_core::error::{Error, ErrorKind};
use gpve_core::types::{NodeName, Vmid};
use hyper::Response;
use hyper::body::Incoming;
use hyper::http::request::Parts;

use super::App;
use super::http::{Body as AnswerBody, BodyError, header, read, response};

/// A request whose caller is known and whose parameters are checked.
struct Ctx<'a> {
    app: &'a App,
    /// Who asks; root's place holder on public routes.
    who: Identity,
    params: Params,
    matched: Matched,
    call: Call,
}

/// Answers a request below `/api2/json`.
pub(super) async fn answer(app: &App, mut parts: Parts, path: &str, body: Incoming, peer: SocketAddr) -> Response<AnswerBody> {
    let answered = match admit(app, &parts, path, body, peer).await {
        // What holds a connection open has an answer of its own.
        Ok(cx) if cx.matched.route.operation == Op::VmConsoleSocket => match console::socket(&cx, &mut parts).await {
            Ok(switched) => return switched,
            Err(failure) => Err(failure),
        },
        Ok(cx) => handle(cx).await,
        Err(failure) => Err(failure),
    };
    response(answered.unwrap_or_else(|failure| failure.reply(header(&parts, "accept"))))
}

/// Who asks, whether they may, and with which parameters.
async fn admit<'a>(app: &'a App, parts: &Parts, path: &str, body: Incoming, peer: SocketAddr) -> Result<Ctx<'a>, Failure> {
    let matched = app.pve2.find(parts.method.as_str(), path)?;
    let public = matches!(matched.route.access, Access::Public);
    let who = match identify(app, parts, &matched) {
        Ok(who) => Some(who),
        Err(_) if public => None,
        Err(failure) => return Err(failure),
    };
    let given = parameters(parts, body).await?;
    if let (Some(who), false) = (&who, public)
        && let Decision::Denied(why) = matched.authorize(app.authority.as_ref(), who, &given)
    {
        return Err(Failure::forbidden(&why));
    }
    if let Some(node) = matched.node()
        && node != "localhost"
        && !node.parse::<NodeName>().is_ok_and(|n| app.plane.node(&n).is_ok())
    {
        return Err(Failure::unknown_node(node));
    }
    let params = matched.validate(given)?;
    let who = who.unwrap_or_else(|| Identity::user(gpve_auth::UserId::root()));
    let call = call(parts, &who, peer)?;
    Ok(Ctx { app, who, params, matched, call })
}

/// Who asks, and for writes with a ticket whether the page that asks is ours.
fn identify(app: &App, parts: &Parts, matched: &Matched) -> Result<Identity, Failure> {
    let given = credentials(header(parts, "cookie"), header(parts, "authorization"))?;
    let login = Login::new(&app.keys, &app.accounts);
    let who = login.identify(&given, app.now()).map_err(|_| Failure::not_authenticated())?;
    let upload = matches!(matched.route.body, Body::Upload);
    if who.needs_csrf() && !matched.route.method.is_read() && !upload {
        let token = header(parts, "csrfpreventiontoken").unwrap_or_default();
        if !app.keys.verify_csrf(token, who.owner(), app.now()) {
            return Err(Failure::bad_csrf());
        }
    }
    Ok(who)
}

async fn parameters(parts: &Parts, body: Incoming) -> Result<Given, Failure> {
    let bytes = read(body, MAX_BODY_BYTES).await.map_err(|e| match e {
        BodyError::TooLarge => Failure::new(400, &format!("the body is larger than {MAX_BODY_BYTES} bytes")),
        BodyError::Broken => Failure::new(400, "the body could not be read"),
    })?;
    let content_type = header(parts, "content-type");
    let kind = if bytes.is_empty() { BodyKind::Form } else { BodyKind::from_content_type(content_type)? };
    let mut given = decode(parts.uri.query(), kind, &bytes)?;
    if kind == BodyKind::Multipart {
        given.merge(fields(content_type.unwrap_or_default(), bytes).await?)?;
    }
    Ok(given)
}

/// The fields of a multipart body; a file counts by its name.
async fn fields(content_type: &str, bytes: Bytes) -> Result<Given, Failure> {
    let broken = |e: multer::Error| Failure::bad_request(&format!("malformed multipart body: {e}"));
    let boundary = multer::parse_boundary(content_type).map_err(broken)?;
    let whole = futures::stream::once(async move { Ok::<_, std::convert::Infallible>(bytes) });
    let (mut parts, mut given) = (multer::Multipart::new(whole, boundary), Given::new());
    while let Some(field) = parts.next_field().await.map_err(broken)? {
        if given.len() >= MAX_PARAMS {
            return Err(Failure::bad_request(&format!("more than {MAX_PARAMS} parameters")));
        }
        match (field.name().map(str::to_owned), field.file_name().map(str::to_owned)) {
            (_, Some(file)) => given.push("filename", file),
            (Some(name), None) => given.push(name, field.text().await.map_err(broken)?),
            (None, None) => {}
        }
    }
    Ok(given)
}

fn call(parts: &Parts, who: &Identity, peer: SocketAddr) -> Result<Call, Failure> {
    let refused = |e: gpve_core::types::TextError| Failure::from(&Error::field("auth", "user", e.to_string()));
    let user = who.to_string().parse().map_err(refused)?;
    let request_id = parts.extensions.get::<super::http::RequestId>().map(|id| id.0.clone()).unwrap_or_default();
    let user_agent = header(parts, "user-agent").unwrap_or_default().chars().take(256).collect();
    Ok(Call { source_ip: peer.ip().to_string(), user_agent, request_id, ..Call::by(user) })
}

type Answered = Result<Reply, Failure>;

impl Ctx<'_> {
    /// The guest's number in the path.
    fn vmid(&self) -> Result<Vmid, Failure> {
        self.params.parse("vmid").map_err(|e| Failure::from(&e))
    }

    /// The node in the path.
    fn node(&self) -> Result<NodeName, Failure> {
        match self.matched.node() {
            Some("localhost") | None => Ok(self.app.node.clone()),
            Some(node) => node.parse().map_err(|_| Failure::unknown_node(node)),
        }
    }
}

/// The UPID of an accepted task.
fn task(answer: Result<Answer, Error>) -> Answered {
    let accepted = answer.and_then(Answer::accepted).map_err(|e| Failure::from(&e))?;
    Ok(Reply::data(&accepted.upid))
}

/// `null`, once it is done.
fn nothing() -> Answered {
    Ok(Reply::data(&()))
}

fn not_yet(what: &str) -> Answered {
    Err(Failure::from(&Error::new(ErrorKind::Unsupported, "pve2", format!("{what} is not implemented in this version"))))
}

/// One handler per operation. Boxed: one small future for the connection instead of the largest handler's.
async fn handle(cx: Ctx<'_>) -> Answered {
    match cx.matched.route.operation {
        Op::ApiIndex | Op::AccessIndex | Op::ClusterIndex | Op::NodeIndex => Ok(Reply::data(&index_of(cx.matched.route.operation))),
        Op::Version | Op::NodeVersion => node::version(),
        Op::TicketProbe => nothing(),
        Op::TicketCreate => access::login(&cx).await,
        Op::RealmList => access::realms(),
        Op::PermissionList => access::permissions(&cx),
        Op::TokenList => access::token_list(&cx),
        Op::TokenRead => access::token_read(&cx),
        Op::TokenCreate => access::token_create(&cx).await,
        Op::TokenUpdate => access::token_update(&cx).await,
        Op::TokenDelete => access::token_delete(&cx).await,
        Op::NextId => cluster::next_id(&cx).await,
        Op::ClusterResources => cluster::resources(&cx),
        Op::ClusterStatus => cluster::status(&cx),
        Op::ClusterTasks => task::cluster(&cx),
        Op::NodeList => node::list(&cx),
        Op::NodeStatus => node::status(&cx),
        Op::ContainerList => Ok(Reply::data(&[(); 0])),
        Op::VmList => guest::list(&cx),
        Op::VmCreate => change::create(&cx).await,
        Op::VmIndex | Op::VmStatusIndex | Op::AgentIndex => guest::index(&cx),
        Op::VmDelete => change::delete(&cx).await,
        Op::VmConfigRead => guest::config(&cx),
        Op::VmConfigUpdate => change::update(&cx, true).await,
        Op::VmConfigUpdateAsync => change::update(&cx, false).await,
        Op::VmPending => guest::pending(&cx),
        Op::VmCloudInitPending => cloud_init::pending(&cx),
        Op::VmCloudInitUpdate => cloud_init::update(&cx).await,
        Op::VmCloudInitDump => cloud_init::dump(&cx),
        Op::VmFeature => guest::feature(&cx),
        Op::VmStatusRead => guest::current(&cx),
        Op::VmStart => power::start(&cx).await,
        Op::VmStop => power::stop(&cx).await,
        Op::VmReset => power::reset(&cx).await,
        Op::VmShutdown => power::shutdown(&cx).await,
        Op::VmReboot => power::reboot(&cx).await,
        Op::VmSuspend => power::suspend(&cx).await,
        Op::VmResume => power::resume(&cx).await,
        Op::VmClone => change::clone(&cx).await,
        Op::VmTemplate => change::template(&cx).await,
        Op::VmResize => change::resize(&cx).await,
        Op::VmUnlink => change::unlink(&cx).await,
        Op::VmVncProxy => console::vnc_proxy(&cx),
        Op::VmTermProxy => console::term_proxy(&cx),
        Op::VmConsoleSocket => not_yet("a console without a WebSocket"),
        Op::VmMoveDisk => not_yet("moving disks"),
        Op::SnapshotList => snapshot::list(&cx),
        Op::SnapshotCreate => snapshot::create(&cx).await,
        Op::SnapshotIndex => snapshot::index(&cx),
        Op::SnapshotDelete => snapshot::delete(&cx).await,
        Op::SnapshotConfigRead => snapshot::config(&cx),
        Op::SnapshotConfigUpdate => snapshot::describe(&cx).await,
        Op::SnapshotRollback => snapshot::rollback(&cx).await,
        Op::AgentCommand => agent::command(&cx).await,
        Op::AgentExec => agent::exec(&cx).await,
        Op::AgentExecStatus => agent::exec_status(&cx).await,
        Op::AgentFileRead => agent::file_read(&cx).await,
        Op::AgentFileWrite => agent::file_write(&cx).await,
        Op::AgentSetUserPassword => agent::set_user_password(&cx).await,
        Op::StorageConfigList => storage::definitions(&cx),
        Op::StorageConfigRead => storage::definition(&cx),
        Op::StorageConfigCreate | Op::StorageConfigUpdate | Op::StorageConfigDelete => not_yet("defining storages by API"),
        Op::NodeStorageList => storage::list(&cx),
        Op::StorageIndex => storage::index(&cx),
        Op::StorageStatus => storage::status(&cx),
        Op::VolumeList => storage::volumes(&cx).await,
        Op::VolumeAllocate => storage::allocate(&cx).await,
        Op::VolumeRead => storage::volume(&cx).await,
        Op::VolumeDelete => storage::delete(&cx).await,
        Op::VolumeUpload => not_yet("uploading"),
        Op::TaskList => task::list(&cx),
        Op::TaskIndex => task::index(&cx).await,
        Op::TaskStatus => task::status(&cx).await,
        Op::TaskLog => task::log(&cx).await,
        Op::TaskStop => task::stop(&cx).await,
        Op::V1Index
        | Op::V1OpenApi
        | Op::V1GuestList
        | Op::V1VmList
        | Op::V1VmCreate
        | Op::V1VmRead
        | Op::V1VmReplace
        | Op::V1VmApply
        | Op::V1VmDelete
        | Op::V1VmAction
        | Op::V1VmClone
        | Op::V1VmResizeDisk
        | Op::V1VmTemplate
        | Op::V1VmConsole
        | Op::V1SnapshotList
        | Op::V1SnapshotCreate
        | Op::V1SnapshotDescribe
        | Op::V1SnapshotDelete
        | Op::V1SnapshotRollback
        | Op::V1VolumeList
        | Op::V1VolumeCreate
        | Op::V1VolumeDelete
        | Op::V1TaskList
        | Op::V1TaskRead
        | Op::V1TaskLog
        | Op::V1TaskCancel => not_yet("the native dialect below /api2/json"),
    }
}
