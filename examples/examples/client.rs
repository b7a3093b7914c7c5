//! A client against a server: create, wait, console, delete.
//!
//! `GPVE_URL=https://127.0.0.1:8006 GPVE_CA=/var/lib/gpve/pki/ca.crt GPVE_PASSWORD=… cargo run -p gpve-examples --example client`; with
//! an API token it is `Client::new(url, token)`. Prints:
//!
//! ```text
//! made web as VM …
//! TASK OK
//! web is Running on …
//! its console is open
//! gone
//! ```
use gpve_api::client::{Client, Endpoint, Progress, Trust};
use gpve_auth::Secret;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (Ok(url), Ok(password)) = (std::env::var("GPVE_URL"), std::env::var("GPVE_PASSWORD")) else {
        println!("SKIP client: GPVE_URL and GPVE_PASSWORD name no server");
        return Ok(());
    };
    let trust = match std::env::var("GPVE_CA") {
        Ok(file) => Trust::Authority(std::fs::read(file)?),
        Err(_) => Trust::System,
    };
    let client = Client::connect(Endpoint::new(&url)?.trust(trust))?;
    client.login("root@pam", Secret::new(password)).await?;
    let machines = client.virtual_machines("default");

    let web = serde_json::json!({
        "metadata": { "name": "web" },
        "spec": { "memory": { "size": "64Mi" }, "serials": { "0": "socket" } },
    });
    let made = machines.create(&web).await?;
    println!("made {} as VM {}", made.machine.metadata.name, made.machine.status.vmid);
    made.job.await?;

    let tell = |progress| {
        if let Progress::Line(line) = progress {
            println!("{}", line.t);
        }
    };
    machines.start("web").await?.wait(tell).await?;
    let running = machines.wait_for("web", |vm| vm.status.start_time.is_some()).await?;
    println!("web is {} on {}", running.status.phase, running.status.node);

    let console = machines.console("web", 0).await?;
    println!("its console is open");
    drop(console);

    machines.delete("web", true).await?.await?;
    println!("{}", if machines.list(None).await?.items.is_empty() { "gone" } else { "others are left" });
    Ok(())
}
