use crate::support::{Daemon, vm};

#[tokio::test]
async fn every_refused_field_is_named() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let cases = [
        ("vmid", "99"),
        ("vmid", "abc"),
        ("cores", "0"),
        ("cores", "x"),
        ("memory", "x"),
        ("name", "in valid"),
        ("net0", "virtio,bridge=../x"),
        ("scsi0", "nonsense"),
        ("scsi0", "local:1,format=exe"),
        ("boot", "order=nope"),
        ("onboot", "maybe"),
        ("ostype", "dos"),
        ("scsihw", "x"),
        ("bogus", "1"),
        ("tags", "a b!"),
        ("cpu", "host,flags=+nosuchflag"),
        ("net0", "virtio=ZZ:24:11:00:00:01"),
        ("serial0", "file"),
        ("agent", "enabled=x"),
        ("smbios1", "uuid=no"),
        ("cpulimit", "1000"),
    ];
    let mut wrong = Vec::new();
    for (field, value) in cases {
        let mut form = vec![(field, value)];
        if field != "vmid" {
            form.push(("vmid", "100"));
        }
        let answer = session.pve("POST", "/nodes/pve/qemu", &form).await;
        let named = answer.json()["errors"].get(field).is_some();
        if answer.status != 400 || !named || !answer.reason.starts_with("Parameter verification failed.") {
            wrong.push(format!("{field}={value}: {} {}", answer.status, answer.reason));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let long = "x".repeat(2 << 20);
    let answer = session.pve("POST", "/nodes/pve/qemu", &[("vmid", "100"), ("description", &long)]).await;
    assert_eq!(answer.status, 400, "{}", answer.reason);
    let mut object = vm("big");
    object["metadata"]["annotations"] = serde_json::json!({ "note": long });
    let answer = session.v1("POST", "/namespaces/default/virtualmachines", &[], &object).await;
    assert_eq!(answer.status, 400, "{}", String::from_utf8_lossy(&answer.body));
}

#[tokio::test]
async fn no_path_leaves_its_place() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    for path in [
        "/nodes/pve/storage/local/content/..%2f..%2fetc%2fpasswd",
        "/nodes/pve/storage/local/content/local:iso/../../etc/passwd",
        "/nodes/pve/storage/..%2flocal/status",
        "/nodes/..%2f..%2fetc/status",
    ] {
        let answer = session.pve("GET", path, &[]).await;
        assert!(matches!(answer.status, 400 | 500 | 501), "{path}: {answer:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("root:"), "{path}");
    }
    let outside = [("vmid", "100"), ("ide2", "local:iso/../../etc/passwd,media=cdrom")];
    let answer = session.pve("POST", "/nodes/pve/qemu", &outside).await;
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(answer.reason.starts_with("unable to parse directory volume name"), "{}", answer.reason);
}

#[tokio::test]
async fn an_unknown_field_of_an_object_is_named() {
    let daemon = Daemon::start();
    let session = daemon.login().await;
    let mut object = vm("x");
    object["spec"]["colour"] = "red".into();
    let answer = session.v1("POST", "/namespaces/default/virtualmachines", &[], &object).await;
    let problem = answer.json();
    assert_eq!((answer.status, problem["code"].as_str()), (400, Some("InvalidInput")), "{problem}");
    assert!(problem["message"].as_str().unwrap().contains("colour"), "{problem}");
    assert!(problem["traceId"].is_string(), "{problem}");
}
