//! A hook script on a real node: a program that writes to a file.

use std::os::unix::fs::PermissionsExt as _;

use gpve::ErrorKind;
use gpve_api::client::Progress;

use crate::life::small;
use crate::support::Place;

#[tokio::test]
async fn a_script_sees_a_guest_come_and_go_and_can_keep_it_from_starting() {
    let test = "a_script_sees_a_guest_come_and_go_and_can_keep_it_from_starting";
    let Some((place, _)) = Place::real(test).await else { return };
    let snippets = std::path::Path::new(&place.path()).join("storage/local/snippets");
    std::fs::create_dir_all(&snippets).unwrap();
    let (script, seen, refuses) = (snippets.join("hook.sh"), snippets.join("seen"), snippets.join("refuses"));
    let body = format!(
        "#!/bin/sh\necho \"$1 $2 $(id -u) $PWD\" >>{seen}\necho \"told $2\"\n[ $2 != pre-start ] || [ ! -e {refuses} ] || {{ echo no licence >&2; exit 4; }}\n",
        seen = seen.display(),
        refuses = refuses.display()
    );
    std::fs::write(&script, body).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let machines = place.local.client().virtual_machines("default");
    let mut machine = small("web");
    machine["spec"]["hookScript"] = "local:snippets/hook.sh".into();
    machines.create(&machine).await.unwrap().job.await.unwrap();
    let vmid = machines.get("web").await.unwrap().status.vmid;

    let mut told = Vec::new();
    machines.start("web").await.unwrap().wait(|progress| told.push(progress)).await.unwrap();
    let lines: Vec<String> = told.into_iter().filter_map(|p| if let Progress::Line(line) = p { Some(line.t) } else { None }).collect();
    let place_of = |text: &str| lines.iter().position(|line| line == text).unwrap_or_else(|| panic!("no {text:?} in {lines:?}"));
    assert!(place_of("told pre-start") < place_of("told post-start"), "{lines:?}");
    machines.stop("web").await.unwrap().await.unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let wanted: String = ["pre-start", "post-start", "pre-stop", "post-stop"].map(|phase| format!("{vmid} {phase} {uid} /\n")).concat();
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), wanted);

    std::fs::write(&refuses, "").unwrap();
    let refused = machines.start("web").await.unwrap().await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::FailedPrecondition, "{refused:?}");
    assert!(refused.message.contains("code 4") && refused.message.contains("no licence"), "{refused:?}");
    std::fs::remove_file(&refuses).unwrap();
    machines.start("web").await.unwrap().await.unwrap();
    machines.delete("web", true).await.unwrap().await.unwrap();
    place.local.close().await;
}
